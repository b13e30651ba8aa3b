"""
The encryption scheme in its plainest form, for writing vectors.

It shares no code with the implementations that the vectors test. Every chunk's plaintext is the key stream
itself, so the ciphertext is zeros and a tag, and a vector of many chunks is a small file.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

import attrs
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK: Final = 16_384
INFO: Final = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


def seeded(label: str, size: int) -> bytes:
    """
    Return pseudo-random bytes, the same in every run (SHAKE-256 of a label).
    """
    return hashlib.shake_256(f"sft test vectors v1: {label}".encode()).digest(size)


def hkdf_expand(key: bytes, info: bytes, size: int) -> bytes:
    """
    Compute HKDF-Expand with SHA-512 (RFC 5869, section 2.3).
    """
    output = block = b""
    for counter in range(1, -(-size // 64) + 1):
        block = hmac.digest(key, block + info + bytes([counter]), "sha512")
        output += block
    return output[:size]


def hkdf(secret: bytes, info: bytes, size: int) -> bytes:
    """
    Compute HKDF with SHA-512 and no salt (RFC 5869, sections 2.2 and 2.3).
    """
    return hkdf_expand(hmac.digest(bytes(64), secret, "sha512"), info, size)


def chunk_nonce(base: bytes, number: int) -> bytes:
    """
    Return the nonce of chunk `number`: the base nonce XOR the number, big-endian.
    """
    return bytes(a ^ b for a, b in zip(base, number.to_bytes(12, "big"), strict=True))


@attrs.frozen(kw_only=True)
class EncryptedMessage:
    """
    A message as its plaintext, its header, and its encrypted chunks.
    """

    plaintext: bytes
    header: bytes
    chunks: tuple[bytes, ...]

    @property
    def ciphertext(self) -> bytes:
        """
        Return the header and the chunks, concatenated.
        """
        return self.header + b"".join(self.chunks)


def write(
    key: bytes,
    salt: bytes,
    context: bytes,
    sizes: tuple[int, ...],
    *,
    info: bytes = INFO,
    nonce: Callable[[bytes, int], bytes] = chunk_nonce,
    associated: bytes = b"",
) -> EncryptedMessage:
    """
    Encrypt chunks of the given plaintext sizes; the keywords introduce mistakes.
    """
    derived = hkdf_expand(key, info + salt + context, 76)
    aead, base = AESGCM(derived[:32]), derived[32:44]
    plaintext = [aead.encrypt(nonce(base, n), bytes(size), None)[:size] for n, size in enumerate(sizes)]
    chunks = [aead.encrypt(nonce(base, n), chunk, associated) for n, chunk in enumerate(plaintext)]
    return EncryptedMessage(plaintext=b"".join(plaintext), header=salt + derived[44:], chunks=tuple(chunks))
