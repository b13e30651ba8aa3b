"""
Vectors of the vault's profile: parts that must decrypt, and one for each failure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final, TypeAlias
from uuid import UUID

from attrs import evolve
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from sft_adapters.testkit.vectors import VaultVector
from sft_adapters.testkit.vectors.plain import CHUNK, EncryptedMessage, hkdf, seeded, write

FILE_ID: Final = UUID("0198c0de-7000-7abc-8def-0123456789ab")
OTHER_FILE_ID: Final = UUID("0198c0de-7000-7abc-8def-0123456789ac")
Cases: TypeAlias = dict[str, tuple[str, VaultVector]]


def _ring_key(label: str) -> bytes:
    return seeded(f"ring {label}", 32)


def _key_id(ring_key: bytes) -> str:
    return hkdf(ring_key, b"sft/v1/keyring/id", 8).hex()


def _key_context(file_id: UUID, version: int) -> bytes:
    return file_id.bytes + version.to_bytes(8, "big")


def _part(part: int, sizes: tuple[int, ...], *, salt: str = "part", version: int = 1) -> EncryptedMessage:
    context = b"sft/v1/vault/" + _key_context(FILE_ID, version) + part.to_bytes(8, "big")
    return write(seeded("file key", 32), seeded(f"{salt} {part} salt", 24), context, sizes)


def _wrapped(ring_key: bytes, purpose: bytes = b"file-key", version: int = 1) -> bytes:
    info = b"sft/v1/keyring/wrap\x00" + purpose + b"\x00" + _key_context(FILE_ID, version)
    return aes_key_wrap(hkdf(ring_key, info, 32), seeded("file key", 32))


def _valid_vector(
    name: str, comment: str, part: int, message: EncryptedMessage, *, version: int = 1, ring: str = "active"
) -> VaultVector:
    return VaultVector(
        name=f"vault-valid-{name}",
        comment=comment,
        error=None,
        plaintext_sha256=hashlib.sha256(message.plaintext).hexdigest(),
        ring=(_ring_key("active"), _ring_key("old")),
        key_id=_key_id(_ring_key(ring)),
        wrapped_key=_wrapped(_ring_key(ring), version=version),
        file_id=FILE_ID,
        version=version,
        part=part,
        size=len(message.plaintext),
        header=message.header,
        blob=message.ciphertext,
    )


def valid_parts() -> Iterator[VaultVector]:
    """
    Generate parts that must decrypt.
    """
    yield _valid_vector("first-part", "A part of two chunks.", 0, _part(0, (CHUNK, 100)))
    yield _valid_vector("later-part", "The part's number is in its context.", 3, _part(3, (100,)))
    yield _valid_vector("empty-file", "A file without a byte is one part with one empty chunk.", 0, _part(0, (0,)))
    yield _valid_vector("second-version", "The version is in both contexts.", 0, _part(0, (100,), version=2), version=2)
    yield _valid_vector(
        "old-key", "The file key is wrapped under an old key of the ring.", 0, _part(0, (100,)), ring="old"
    )


def invalid_parts() -> Iterator[VaultVector]:
    """
    Generate valid parts with one change in their blob, manifest entry or row.
    """
    message, earlier = _part(0, (CHUNK, 100)), _part(0, (CHUNK, 100), salt="earlier")
    good = _valid_vector("", "", 0, message)
    for cases, error in (
        (_blobs_of_another_size(good), "content-size-mismatch"),
        (_blobs_that_differ(good, earlier), "content-not-authentic"),
        (_keys_that_do_not_open(good), "unwrap-failed"),
        (_keys_that_are_lost(good), "unknown-key"),
    ):
        for name, (comment, corrupted) in cases.items():
            yield evolve(
                corrupted,
                name=f"vault-invalid-{name}",
                comment=comment,
                error=error,
                plaintext_sha256=None,
            )


def _blobs_of_another_size(good: VaultVector) -> Cases:
    blob = good.blob
    return {
        "blob-cut": ("The blob's last byte is missing.", evolve(good, blob=blob[:-1])),
        "blob-cut-at-a-chunk": ("The blob ends where its last chunk begins.", evolve(good, blob=blob[: 56 + 16_400])),
        "blob-grown": ("A byte follows the blob.", evolve(good, blob=blob + b"\x00")),
        "blob-empty": ("Nothing is left of the blob.", evolve(good, blob=b"")),
    }


def _blobs_that_differ(good: VaultVector, earlier: EncryptedMessage) -> Cases:
    blob, other = good.blob, earlier.ciphertext
    smaller = evolve(good, size=good.size - 1, blob=blob[:-1])
    shorter = evolve(good, size=CHUNK, blob=blob[: 56 + 16_400 + 16])
    larger = evolve(good, size=good.size + 1, blob=blob + b"\x00")
    return {
        "part-of-another-number": ("The blob is another part of the file.", evolve(good, part=1)),
        "header-not-the-manifests": ("The manifest contains another header.", evolve(good, header=earlier.header)),
        "rolled-back": (
            "The blob is an earlier one of the same part, whole, under its own salt.",
            evolve(good, blob=other),
        ),
        "chunks-swapped-in": (
            "An earlier blob's chunks follow the right header.",
            evolve(good, blob=blob[:56] + other[56:]),
        ),
        "header-swapped-in": (
            "An earlier blob's header precedes the right chunks.",
            evolve(good, blob=other[:56] + blob[56:]),
        ),
        "blob-flipped": ("A bit of the blob is flipped.", evolve(good, blob=blob[:-1] + bytes([blob[-1] ^ 1]))),
        "size-too-small": ("Manifest and blob are a byte shorter than what was encrypted.", smaller),
        "size-too-large": ("Manifest and blob are a byte longer than what was encrypted.", larger),
        "size-cut-to-a-chunk": ("Manifest and blob leave the last chunk's plaintext out.", shorter),
    }


def _keys_that_do_not_open(good: VaultVector) -> Cases:
    wrapped, (active, old) = good.wrapped_key, good.ring
    flipped = bytes([wrapped[0] ^ 1]) + wrapped[1:]
    return {
        "key-flipped": ("A bit of the wrapped key is flipped.", evolve(good, wrapped_key=flipped)),
        "key-cut": ("The wrapped key's last 8 bytes are missing.", evolve(good, wrapped_key=wrapped[:-8])),
        "key-empty": ("The wrapped key is empty.", evolve(good, wrapped_key=b"")),
        "key-of-another-version": ("The row's version is not the key's.", evolve(good, version=2)),
        "key-of-another-file": ("The row was copied onto another file's.", evolve(good, file_id=OTHER_FILE_ID)),
        "key-of-another-purpose": (
            "The key was wrapped for another purpose.",
            evolve(good, wrapped_key=_wrapped(active, b"totp")),
        ),
        "key-named-wrongly": (
            "The row names the ring's old key, but the active one wrapped it.",
            evolve(good, key_id=_key_id(old)),
        ),
    }


def _keys_that_are_lost(good: VaultVector) -> Cases:
    lost = _key_id(_ring_key("lost"))
    return {"key-unknown": ("The row names a key that the ring does not hold.", evolve(good, key_id=lost))}
