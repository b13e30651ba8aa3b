"""
JSON bodies, read strictly: what two parsers could read differently is refused (RFC 8259, RFC 7493).
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from falcon.asgi import Request

from sft_http.asgi.exchange import require_whole_body
from sft_http.errors import ContentTooLarge, MalformedRequest, UnsupportedMediaType

_MAX_DIGITS: Final = 20


async def read_json(req: Request, *, limit: int, optional: bool = False) -> dict[str, Any]:
    """
    The JSON object of a request of at most `limit` bytes; an absent one is empty if that is `optional`.

    `MalformedRequest`, `ContentTooLarge` or `UnsupportedMediaType` if there is no such object.
    """
    essence = (req.content_type or "").partition(";")[0].strip().lower()
    # Told by the head, before anything is waited for, unless the body may turn out to be none.
    if essence != "application/json" and (req.content_length or not optional):
        raise UnsupportedMediaType("The body must be JSON: send Content-Type: application/json.")
    raw = await _read(req, limit)
    if not raw and optional:
        return {}
    if essence != "application/json":
        raise UnsupportedMediaType("The body must be JSON: send Content-Type: application/json.")
    return parse(raw)


async def _read(req: Request, limit: int) -> bytes:
    body = bytearray()
    if (req.content_length or 0) > limit:
        raise ContentTooLarge(f"The body is larger than {limit} bytes.")
    async for piece in req.stream:
        body += piece
        if len(body) > limit:
            raise ContentTooLarge(f"The body is larger than {limit} bytes.")
    await require_whole_body(req)
    return bytes(body)


def parse(raw: bytes) -> dict[str, Any]:
    """
    One JSON object in UTF-8, each name once, all numbers finite; else `MalformedRequest`.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refused,
            parse_float=_float,
            parse_int=_int,
        )
    except (ValueError, RecursionError):
        raise MalformedRequest("The body is not well-formed JSON.") from None
    if not isinstance(value, dict):
        raise MalformedRequest("The body must be a JSON object.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refused(_constant: str) -> Any:  # noqa: ANN401 (json's hook)
    raise ValueError("NaN and Infinity are no JSON")


def _float(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError("the number is too large")
    return value


def _int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError("the number is too large")
    return int(text)
