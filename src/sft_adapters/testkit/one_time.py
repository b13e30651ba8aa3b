"""
One-time codes after RFC 6238, independent of every adapter, as reference values.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Final

STEP_SECONDS: Final = 30


def step_at(moment: datetime) -> int:
    """
    Return the 30-second step that contains a moment (RFC 6238, section 4.2).
    """
    return int(moment.timestamp()) // STEP_SECONDS


def code_of(seed: str, step: int) -> str:
    """
    Return the six digits of a step under a base32 seed (RFC 4226, section 5.3).
    """
    mac = hmac.digest(base64.b32decode(seed), step.to_bytes(8, "big"), hashlib.sha1)
    at = mac[-1] & 15
    return f"{(int.from_bytes(mac[at : at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"
