"""
Parameters of a request, parsed and validated.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Final

from falcon.asgi import Request

from sft_core.errors import (
    Fault,
    FileNotFound,
    InvalidInput,
    InvalidValue,
    LinkNotFound,
)
from sft_core.values import FileId, ShareToken
from sft_core.vault.model import ShareTerms

_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


def origin(req: Request) -> str:
    """
    The network a request comes from: the first 24 bits of an IPv4 address, 56 of an IPv6 address.

    It is the peer of the connection and nothing that the request says of itself; behind a proxy
    all requests come from one network.
    """
    try:
        address = ipaddress.ip_address(req.remote_addr)
    except ValueError:
        return ""
    bits = 24 if address.version == 4 else 56
    return str(ipaddress.ip_network((address, bits), strict=False))


def file_id(text: str) -> FileId:
    """
    The id of a path; what cannot be one names no file.
    """
    try:
        return FileId.parse(text)
    except InvalidInput:
        raise FileNotFound from None


def query(req: Request, *names: str) -> dict[str, str]:
    """
    The query's parameters of these names, each at most once; others are ignored.
    """
    found: dict[str, str] = {}
    for name in names:
        value: Any = req.params.get(name)
        if isinstance(value, list):
            raise InvalidValue(name, "stands more than once")
        if value is not None:
            found[name] = value
    return found


def whole(name: str, text: str | None) -> int | None:
    """
    A whole number in decimal digits, or None if there is none.
    """
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,19}", text, flags=re.ASCII):
        raise InvalidValue(name, "must be a whole number")
    return int(text)


def boolean(name: str, text: str | None) -> bool:
    """
    `true`, `false`, `1` or `0`; absent is false.
    """
    if text is None:
        return False
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise InvalidValue(name, "must be true or false") from None


def share_token(text: str) -> ShareToken:
    """
    The token of a path; what cannot be one leads nowhere.
    """
    try:
        return ShareToken.parse(text)
    except InvalidInput:
        raise LinkNotFound from None


def share_terms(fields: Mapping[str, str]) -> tuple[ShareTerms, bool]:
    """
    The terms that the fields give and whether the file is public; their names are the form's.
    """
    public = boolean("is_public", fields.get("is_public"))
    downloads = whole("max_downloads", fields.get("max_downloads"))
    hours = whole("share_expires_hours", fields.get("share_expires_hours"))
    try:
        return ShareTerms(max_downloads=downloads, expires_hours=hours), public
    except InvalidInput as error:
        raise InvalidInput(*map(_renamed, error.faults)) from None


def _renamed(fault: Fault) -> Fault:
    return Fault("share_expires_hours", fault.message) if fault.path == "expires_hours" else fault
