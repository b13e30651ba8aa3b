"""
Time-based one-time passwords (RFC 6238): six digits, SHA-1, steps of 30 seconds.
"""

from __future__ import annotations

import base64
import hmac
import re
from datetime import datetime
from typing import Final

import attrs
import pyotp

from sft_core.errors import BadTotpCode, ConfigurationError
from sft_core.ports import Entropy
from sft_core.values import Secret

_SEED_BYTES: Final = 20
_STEP_SECONDS: Final = 30
_CODE: Final = re.compile(r"[0-9]{6}")


@attrs.frozen
class PyotpProvider:
    """
    Implements `sft_core.users.ports.TotpProvider`; `issuer` is the name that authenticator apps show.
    """

    entropy: Entropy
    issuer: str

    def __attrs_post_init__(self) -> None:
        if not self.issuer.strip() or ":" in self.issuer:
            raise ConfigurationError("TWO_FACTOR_ISSUER must be a name without a colon")

    def new_seed(self) -> Secret:
        return Secret(base64.b32encode(self.entropy.random_bytes(_SEED_BYTES)))

    def matching_step(self, seed: Secret, code: object, *, now: datetime) -> int:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise BadTotpCode("not six ASCII digits")
        totp = pyotp.TOTP(seed.reveal().decode())
        current_step = int(now.timestamp()) // _STEP_SECONDS
        # Every candidate is computed and compared, so the duration does not reveal which one matched.
        matches = [
            step
            for step in range(max(current_step - 1, 0), current_step + 2)
            if hmac.compare_digest(totp.generate_otp(step), code)
        ]
        if not matches:
            raise BadTotpCode
        # The later of two steps with the same code, so that neither can be reused.
        return matches[-1]

    def enrolment_uri(self, seed: Secret, account: str) -> Secret:
        totp = pyotp.TOTP(seed.reveal().decode())
        return Secret(totp.provisioning_uri(name=account, issuer_name=self.issuer).encode())
