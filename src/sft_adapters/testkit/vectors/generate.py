"""
Write the vectors: `python -m sft_adapters.testkit.vectors.generate [folder]`, by default to this folder.

Every run on every machine writes the same bytes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sft_adapters.testkit.vectors import MessageVector, VaultVector
from sft_adapters.testkit.vectors.messages import (
    corrupted_messages,
    misread_messages,
    miswritten_messages,
    valid_messages,
)
from sft_adapters.testkit.vectors.vault import invalid_parts, valid_parts

_LONG_ZEROS: Final = re.compile(rb"(\x00{16,})")


def vectors() -> Iterator[MessageVector | VaultVector]:
    """
    Generate every vector.
    """
    yield from valid_messages()
    yield from corrupted_messages()
    yield from misread_messages()
    yield from miswritten_messages()
    yield from valid_parts()
    yield from invalid_parts()


def render(vector: MessageVector | VaultVector) -> str:
    """
    Return the vector as the text of its JSON file.
    """
    fields: dict[str, object] = {"comment": vector.comment, "error": vector.error}
    fields["plaintext_sha256"] = vector.plaintext_sha256
    if isinstance(vector, MessageVector):
        fields |= {
            "kind": "message",
            "key": vector.key.hex(),
            "context": vector.context.hex(),
            "ciphertext": runs(vector.ciphertext),
        }
    else:
        fields |= {
            "kind": "vault-part",
            "ring": [key.hex() for key in vector.ring],
            "key_id": vector.key_id,
            "wrapped_key": vector.wrapped_key.hex(),
            "file_id": str(vector.file_id),
            "version": vector.version,
            "part": vector.part,
            "size": vector.size,
            "header": vector.header.hex(),
            "blob": runs(vector.blob),
        }
    return json.dumps(fields, indent=1) + "\n"


def runs(data: bytes) -> list[str | int]:
    """
    Encode data as hexadecimal strings, and 16 or more consecutive zero bytes as their number.
    """
    pieces = (piece for piece in _LONG_ZEROS.split(data) if piece)
    return [len(piece) if _LONG_ZEROS.fullmatch(piece) else piece.hex() for piece in pieces]


def write_all(folder: Path) -> None:
    """
    Replace the folder's vectors by newly generated ones.
    """
    for stale in folder.glob("*.json"):
        stale.unlink()
    for vector in vectors():
        (folder / f"{vector.name}.json").write_text(render(vector), encoding="ascii")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
