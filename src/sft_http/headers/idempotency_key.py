"""
The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header).
"""

from __future__ import annotations

import re
from typing import Final

from falcon.asgi import Request

from sft_core.errors import InvalidInput
from sft_core.sharing.idempotency import IdempotencyKey
from sft_http.errors import InvalidIdempotencyKey

# A string as in RFC 9651, section 3.3.3, or a bare word, as many clients send it. Repeated headers are joined by a
# comma, so a bare word has none.
_STRING: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_WORD: Final = re.compile(r'[^",\\]+')
_ESCAPED: Final = re.compile(r'\\(["\\])')


def idempotency_key(req: Request) -> IdempotencyKey | None:
    """
    The key in a request's `Idempotency-Key` header; None if the header is absent.

    Raises `InvalidIdempotencyKey` if the key is malformed, empty or too long, or the header is repeated.
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
