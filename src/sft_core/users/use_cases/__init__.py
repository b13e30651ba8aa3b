"""
Use cases of accounts, sessions and second factors, one frozen callable each.

Import them from this package.
"""

from sft_core.users.use_cases.second_factor import (
    Authenticate,
    Caller,
    ConfirmTotp,
    DisableTotp,
    RefreshSession,
    RegisterUser,
    SetUpTotp,
    SignIn,
    SpendTotpCode,
    Tokens,
    TotpEnrolment,
    VerifyToken,
    issue_tokens,
    rewrapped_meanwhile,
)

__all__ = [
    "Authenticate",
    "Caller",
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
    "issue_tokens",
    "rewrapped_meanwhile",
]
