"""
Requests that say by a header that they may be sent twice (draft-ietf-httpapi-idempotency-key-header).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import attrs
from falcon.asgi import Request

from sft_core.errors import InvalidInput
from sft_core.sharing.idempotency import IdempotencyKey
from sft_core.vault.ports import Buffer
from sft_http.problems import InvalidIdempotencyKey

# A string as RFC 9651, section 3.3.3, spells it; or a bare word, as many clients send it. Two
# headers are joined by a comma, so a word has none.
_STRING: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_WORD: Final = re.compile(r'[^",\\]+')
_ESCAPED: Final = re.compile(r'\\(["\\])')


def key_of(req: Request) -> IdempotencyKey | None:
    """
    The key of a request's `Idempotency-Key`; None if it has no such header.

    `InvalidIdempotencyKey` for one that is malformed, empty or too long, and for more than one.
    """
    text = req.get_header("Idempotency-Key")
    if text is None:
        return None
    quoted = _STRING.fullmatch(text)
    if quoted is None and _WORD.fullmatch(text) is None:
        raise InvalidIdempotencyKey
    try:
        return IdempotencyKey.parse(text if quoted is None else _ESCAPED.sub(r"\1", quoted[1]))
    except InvalidInput:
        raise InvalidIdempotencyKey from None


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
