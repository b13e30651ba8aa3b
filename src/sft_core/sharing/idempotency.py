"""
Idempotency keys: an owner's key identifies one request and its result.

Nothing is reserved in advance. The record is stored in the same commit as the result, so both exist or neither,
whenever a process dies. If several requests create the result concurrently, one commit succeeds, and the others find
its record.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime
from typing import Final, Self

import attrs

from sft_core.errors import InvalidValue
from sft_core.values import FileId, Secret, UserId

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_LENGTH_BYTES: Final = 8


class IdempotencyKey(Secret):
    """
    A client's key for a request: 1 to 255 visible ASCII characters, never stored.
    """

    @classmethod
    def parse(cls, text: object) -> Self:
        if not isinstance(text, str) or not _KEY.fullmatch(text):
            raise InvalidValue("Idempotency-Key", "must have 1 to 255 visible ASCII characters")
        return cls(text.encode())

    def digest(self, owner: UserId) -> bytes:
        """
        Return the digest under which a key is stored, which differs between owners.
        """
        return hashlib.sha256(b"sft/v1/idempotency-key" + owner.bytes + self.reveal()).digest()

    def fingerprint(self, *facts: bytes | str | int | None) -> bytes:
        """
        Return a keyed digest of every fact that must be equal in a repeated request.

        The HMAC key is the idempotency key, which is not stored: the rows do not reveal whether a file has known bytes.
        """
        mac = hmac.new(self.reveal(), digestmod=hashlib.sha256)
        for fact in facts:
            # Each fact is preceded by its type and length, so no two lists of facts have the same encoding.
            text = fact if isinstance(fact, bytes) else str(fact).encode()
            for piece in (type(fact).__name__.encode(), text):
                mac.update(len(piece).to_bytes(_LENGTH_BYTES, "big"))
                mac.update(piece)
        return mac.digest()


@attrs.frozen(kw_only=True)
class IdempotentRequest:
    """
    A request under its key; `fingerprint` is `IdempotencyKey.fingerprint` of what it requests.
    """

    key: IdempotencyKey
    fingerprint: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class IdempotencyRecord:
    """
    The result of a request with an idempotency key, by reference.

    `token_digest` identifies its link, if it issued one. No text of the request or its result is stored.
    """

    key_digest: bytes = attrs.field(repr=False)
    owner: UserId
    fingerprint: bytes = attrs.field(repr=False)
    file_id: FileId
    token_digest: bytes | None = attrs.field(default=None, repr=False)
    expires_at: datetime
