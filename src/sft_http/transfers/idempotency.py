"""
An upload that is repeated under its idempotency key.
"""

from __future__ import annotations

import hashlib
from typing import Any

import attrs

from sft_core.sharing.idempotency import IdempotencyKey
from sft_core.vault.ports import Buffer


@attrs.define
class ContentDigest:
    """
    The length and the SHA-256 of a request's file, by which its content is compared with an earlier one's.
    """

    size: int = 0
    _sha256: Any = attrs.field(factory=hashlib.sha256, init=False, repr=False)

    def add(self, piece: Buffer) -> None:
        """
        Add the next bytes; on a thread, because that costs more than encrypting them.
        """
        self.size += len(piece)
        self._sha256.update(piece)

    def sha256(self) -> bytes:
        """
        The SHA-256 of the bytes so far.
        """
        return bytes(self._sha256.digest())


@attrs.frozen
class IdempotentUpload:
    """
    An upload request that may be repeated: its key, whether a result is recorded under it, and its content.
    """

    key: IdempotencyKey
    is_recorded: bool
    content_digest: ContentDigest = attrs.field(factory=ContentDigest, init=False)
