"""
HKDF with SHA-512 (RFC 5869), the only key derivation of this package.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

_SHA512: Final = SHA512()


def expand(key: bytes, *, info: bytes, size: int) -> bytes:
    """
    Derive `size` bytes from a uniformly random key (RFC 5869, section 2.3).
    """
    return HKDFExpand(_SHA512, size, info).derive(key)


def derive(secret: bytes, *, info: bytes, size: int, salt: bytes = b"") -> bytes:
    """
    Derive `size` bytes from a possibly non-uniform secret (RFC 5869, sections 2.2, 2.3).
    """
    return expand(HKDF.extract(_SHA512, salt, secret), info=info, size=size)
