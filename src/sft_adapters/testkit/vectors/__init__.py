"""
The project's own test vectors of the file format, one JSON file each.

`python -m sft_adapters.testkit.vectors.generate` writes them; docs/reference/file-format, "Test vectors",
explains them. A vector is valid if its `error` is None.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any
from uuid import UUID

import attrs


@attrs.frozen(kw_only=True)
class Vector:
    """
    One case: its comment, and either the expected error or the digest of the plaintext.
    """

    name: str
    comment: str
    error: str | None
    plaintext_sha256: str | None


@attrs.frozen(kw_only=True)
class MessageVector(Vector):
    """
    A message of the encryption scheme, with its input key and its context.
    """

    key: bytes
    context: bytes
    ciphertext: bytes


@attrs.frozen(kw_only=True)
class VaultVector(Vector):
    """
    A part of a file: key ring, file row, manifest entry and blob.
    """

    ring: tuple[bytes, ...]
    key_id: str
    wrapped_key: bytes
    file_id: UUID
    version: int
    part: int
    size: int
    header: bytes
    blob: bytes


def load() -> Iterator[MessageVector | VaultVector]:
    """
    Iterate over every vector of the package, by name.
    """
    for entry in sorted(files(__name__).iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".json"):
            yield parse(entry.name.removesuffix(".json"), json.loads(entry.read_text()))


def parse(name: str, fields: Mapping[str, Any]) -> MessageVector | VaultVector:
    """
    Return the vector that a JSON file describes.
    """
    common = {"name": name, **{key: fields[key] for key in ("comment", "error", "plaintext_sha256")}}
    if fields["kind"] == "message":
        return MessageVector(
            **common,
            key=bytes.fromhex(fields["key"]),
            context=bytes.fromhex(fields["context"]),
            ciphertext=expand_runs(fields["ciphertext"]),
        )
    return VaultVector(
        **common,
        ring=tuple(map(bytes.fromhex, fields["ring"])),
        key_id=fields["key_id"],
        wrapped_key=bytes.fromhex(fields["wrapped_key"]),
        file_id=UUID(fields["file_id"]),
        version=fields["version"],
        part=fields["part"],
        size=fields["size"],
        header=bytes.fromhex(fields["header"]),
        blob=expand_runs(fields["blob"]),
    )


def expand_runs(runs: Sequence[str | int]) -> bytes:
    """
    Return the bytes of a list of runs.

    A string is hexadecimal, a number is a count of zero bytes.
    """
    return b"".join(bytes(run) if isinstance(run, int) else bytes.fromhex(run) for run in runs)
