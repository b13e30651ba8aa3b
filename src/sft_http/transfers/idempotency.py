"""
An upload repeated under its idempotency key.
"""

from __future__ import annotations

import hashlib
from typing import Any

import attrs

from sft_core.sharing.idempotency import IdempotencyKey
from sft_core.vault.ports import Buffer


@attrs.define
class Content:
    """
    What a request brings as a file's content, by its length and SHA-256: to tell it from another's.
    """

    size: int = 0
    _sha256: Any = attrs.field(factory=hashlib.sha256, init=False, repr=False)

    def add(self, piece: Buffer) -> None:
        """
        Take the next bytes in; on a lane's thread, because it costs more than encrypting them.
        """
        self.size += len(piece)
        self._sha256.update(piece)

    def digest(self) -> bytes:
        """
        The SHA-256 of what has come.
        """
        return bytes(self._sha256.digest())


@attrs.frozen
class Repeat:
    """
    A request that may be sent twice: its key, whether an answer was kept under it already, and what it brings.
    """

    key: IdempotencyKey
    is_known: bool
    content: Content = attrs.field(factory=Content, init=False)
