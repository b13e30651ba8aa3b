"""
JSON bodies, parsed strictly: ambiguous documents are rejected (RFC 8259, RFC 7493).
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
    The JSON object in a request's body of at most `limit` bytes.

    If `optional`, an absent body counts as an empty object.

    Raises:
        UnsupportedMediaType: the Content-Type is not `application/json`.
        ContentTooLarge: the body is larger than `limit`.
        MalformedRequest: the body is not a well-formed JSON object.
    """
    essence = (req.content_type or "").partition(";")[0].strip().lower()
    # Before the body is read, unless it may turn out to be absent.
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
        raise ContentTooLarge(f"The body must have at most {limit} bytes.")
    async for piece in req.stream:
        body += piece
        if len(body) > limit:
            raise ContentTooLarge(f"The body must have at most {limit} bytes.")
    await require_whole_body(req)
    return bytes(body)


def parse(raw: bytes) -> dict[str, Any]:
    """
    Parse one JSON object in UTF-8, with each name once and all numbers finite.

    Raises:
        MalformedRequest: the text is anything else.
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
        raise ValueError("a name is repeated")
    return found


def _refused(_constant: str) -> Any:  # noqa: ANN401 (json's hook)
    raise ValueError("NaN and Infinity are not JSON")


def _float(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError("the number is too large")
    return value


def _int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError("the number is too large")
    return int(text)
