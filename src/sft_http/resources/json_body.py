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

    If `optional`, an absent body is an empty object.

    Raises:
        UnsupportedMediaType: the Content-Type is not `application/json`.
        ContentTooLarge: the body is larger than `limit`.
        MalformedRequest: the body is not a well-formed JSON object.
    """
    is_json = (req.content_type or "").partition(";")[0].strip().lower() == "application/json"
    wrong_type = UnsupportedMediaType("The body must be JSON: send Content-Type: application/json.")
    # Before the body is read, unless it may turn out to be absent.
    if not is_json and (req.content_length or not optional):
        raise wrong_type
    raw = bytearray()
    if (req.content_length or 0) > limit:
        raise ContentTooLarge(f"The body must have at most {limit} bytes.")
    async for piece in req.stream:
        raw += piece
        if len(raw) > limit:
            raise ContentTooLarge(f"The body must have at most {limit} bytes.")
    await require_whole_body(req)
    if not raw and optional:
        return {}
    if not is_json:
        raise wrong_type
    return parse(bytes(raw))


def parse(raw: bytes) -> dict[str, Any]:
    """
    Parse a UTF-8 JSON object with unique names and finite numbers, else raise `MalformedRequest`.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_number,
            parse_float=_number,
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


def _number(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError("NaN and Infinity are not JSON, and the number must not be too large")
    return value


def _int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError("the number is too large")
    return int(text)
