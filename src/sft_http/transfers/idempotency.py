"""
An upload that is repeated under its idempotency key.
"""

from __future__ import annotations

import hashlib
from typing import Any

import attrs

from sft_core.sharing.idempotency import IdempotencyKey, IdempotentRequest
from sft_core.vault.ports import Buffer


@attrs.define
class IdempotentUpload:
    """
    An upload request that may be repeated, with its key and its file's digest.

    `is_recorded` states whether a result is recorded under the key. A file is compared with that of an earlier request
    by its length and its SHA-256.
    """

    key: IdempotencyKey
    is_recorded: bool
    _size: int = attrs.field(default=0, init=False)
    _sha256: Any = attrs.field(factory=hashlib.sha256, init=False, repr=False)

    def digest(self, piece: Buffer) -> None:
        """
        Add the next bytes of the file; on a thread: hashing costs more than encryption.
        """
        self._size += len(piece)
        self._sha256.update(piece)

    def request(self, *facts: str | int | None) -> IdempotentRequest:
        """
        The request, compared with earlier ones by these facts and the file's bytes so far.
        """
        fingerprint = self.key.fingerprint(*facts, self._size, bytes(self._sha256.digest()))
        return IdempotentRequest(key=self.key, fingerprint=fingerprint)
