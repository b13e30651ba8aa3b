"""
Requests that may be sent twice: an owner's key stands for one request and for what it made.

Nothing is reserved in advance. The answer is kept in the same commit as what was made, so there is
either both or neither, whenever a process dies; of several that make the same thing at once one
wins that commit, and the others find its answer.
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
    A client's own name for a request: 1 to 255 visible ASCII characters. Never stored.
    """

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Build a key; `InvalidValue` if it is empty, too long, or has other characters.
        """
        if not isinstance(text, str) or not _KEY.fullmatch(text):
            raise InvalidValue("Idempotency-Key", "must have 1 to 255 visible ASCII characters")
        return cls(text.encode())

    def digest(self, owner: UserId) -> bytes:
        """
        What an owner's key is found by: the same key of another owner is another one.
        """
        return hashlib.sha256(b"sft/v1/idempotency-key" + owner.bytes + self.reveal()).digest()

    def fingerprint(self, *facts: bytes | str | int | None) -> bytes:
        """
        What tells one request from another, by everything that is to be the same in a repeat.

        It is keyed by the idempotency key, which is not stored: whoever sees the rows cannot try
        which known content a file has.
        """
        mac = hmac.new(self.reveal(), digestmod=hashlib.sha256)
        for fact in facts:
            # Each fact by its kind and length, so that no two lists of facts run into each other.
            kind = type(fact).__name__.encode()
            text = fact if isinstance(fact, bytes) else str(fact).encode()
            for piece in (kind, text):
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
class KeptAnswer:
    """
    What a request under an idempotency key has made, in words of rows: nothing of its text is kept.

    `token_digest` finds the link, if the request made one.
    """

    key_digest: bytes = attrs.field(repr=False)
    owner: UserId
    fingerprint: bytes = attrs.field(repr=False)
    file_id: FileId
    token_digest: bytes | None = attrs.field(default=None, repr=False)
    expires_at: datetime
