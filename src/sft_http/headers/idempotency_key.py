"""
Requests that say by a header that they may be sent twice (draft-ietf-httpapi-idempotency-key-header).
"""

from __future__ import annotations

import re
from typing import Final

from falcon.asgi import Request

from sft_core.errors import InvalidInput
from sft_core.sharing.idempotency import IdempotencyKey
from sft_http.errors import InvalidIdempotencyKey

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
