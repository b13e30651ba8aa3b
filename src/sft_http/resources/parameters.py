"""
Parameters of requests, parsed and validated.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Final

from falcon.asgi import Request

from sft_core.errors import FieldError, FileNotFound, InvalidInput, InvalidValue, LinkNotFound
from sft_core.values import FileId, ShareToken
from sft_core.vault.model import ShareTerms

_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


def origin(req: Request) -> str:
    """
    The client's network as a rate-limit key: an IPv4 /24 or an IPv6 /56.

    The address is that of the connection, not one in a header that a client can set; behind a proxy all requests come
    from one network. Empty if the connection has no IP address.
    """
    try:
        address = ipaddress.ip_address(req.remote_addr)
    except ValueError:
        return ""
    bits = 24 if address.version == 4 else 56
    return str(ipaddress.ip_network((address, bits), strict=False))


def file_id(text: str) -> FileId:
    """
    The file id in a path; raises `FileNotFound` if the text is not one.
    """
    try:
        return FileId.parse(text)
    except InvalidInput:
        raise FileNotFound from None


def query(req: Request, *names: str) -> dict[str, str]:
    """
    The query parameters with these names; raise `InvalidValue` if one is repeated.
    """
    found: dict[str, str] = {}
    for name in names:
        value: Any = req.params.get(name)
        if isinstance(value, list):
            raise InvalidValue(name, "must be given once")
        if value is not None:
            found[name] = value
    return found


def whole_number(name: str, text: str | None) -> int | None:
    """
    A whole number of at most 19 decimal digits; None if it is absent.

    Raises `InvalidValue` for anything else.
    """
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,19}", text, flags=re.ASCII):
        raise InvalidValue(name, "must be a whole number")
    return int(text)


def boolean(name: str, text: str | None) -> bool:
    """
    `true`, `false`, `1` or `0`, in any case; False if it is absent.

    Raises `InvalidValue` for anything else.
    """
    try:
        return text is not None and _BOOLEANS[text.lower()]
    except KeyError:
        raise InvalidValue(name, "must be true or false") from None


def share_token(text: str) -> ShareToken:
    """
    The link token in a path; raises `LinkNotFound` if the text is not one.
    """
    try:
        return ShareToken.parse(text)
    except InvalidInput:
        raise LinkNotFound from None


def share_terms(fields: Mapping[str, str]) -> tuple[ShareTerms, bool]:
    """
    The share terms in an upload's fields, and whether the upload creates a link.

    Raises `InvalidInput`, which names a field as the form does, if it is invalid.
    """
    public = boolean("is_public", fields.get("is_public"))
    downloads = whole_number("max_downloads", fields.get("max_downloads"))
    hours = whole_number("share_expires_hours", fields.get("share_expires_hours"))
    try:
        return ShareTerms(max_downloads=downloads, expires_hours=hours), public
    except InvalidInput as error:
        names = {"expires_hours": "share_expires_hours"}
        faults = (FieldError(names.get(fault.path, fault.path), fault.message) for fault in error.errors)
        raise InvalidInput(*faults) from None
