"""
Use cases of accounts, sessions and second factors; import them from this package.
"""

from sft_core.users.use_cases.authenticate import Authenticate, AuthenticatedUser
from sft_core.users.use_cases.refresh import RefreshSession
from sft_core.users.use_cases.register import RegisterUser
from sft_core.users.use_cases.second_factor import ConfirmTotp, DisableTotp, SetUpTotp, SpendTotpCode, TotpEnrolment
from sft_core.users.use_cases.sign_in import SignIn
from sft_core.users.use_cases.tokens import Tokens, VerifyToken

__all__ = [
    "Authenticate",
    "AuthenticatedUser",
    "ConfirmTotp",
    "DisableTotp",
    "RefreshSession",
    "RegisterUser",
    "SetUpTotp",
    "SignIn",
    "SpendTotpCode",
    "Tokens",
    "TotpEnrolment",
    "VerifyToken",
]
