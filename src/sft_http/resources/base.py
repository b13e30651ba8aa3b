"""
What every resource has: the application, the lanes it runs on, and the settings.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import attrs
from falcon.asgi import Request, Response

from sft_adapters.settings import Settings
from sft_core.application import Application
from sft_core.errors import Busy, FileNotFound, InvalidInput, InvalidValue, NotAuthenticated
from sft_core.users.model import User
from sft_core.values import FileId
from sft_http.concurrency.thread_pools import Lane, Lanes
from sft_http.resources.json_body import read_json
from sft_http.schemas import structured

T = TypeVar("T")

_BEARER: Final = re.compile(r"Bearer +([A-Za-z0-9._~+/=-]+)", flags=re.IGNORECASE)
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


@attrs.frozen
class Resource:
    """
    Base of all resources.
    """

    application: Application
    lanes: Lanes
    settings: Settings

    async def caller(self, req: Request) -> User:
        """
        The user whose access token the request bears; `NotAuthenticated` if it bears none.
        """
        match = _BEARER.fullmatch(req.get_header("Authorization") or "")
        if match is None:
            raise NotAuthenticated
        caller = await self.lanes.control(self.application.authenticate, access_token=match[1])
        req.scope["sft.user"] = str(caller.user.id)
        return caller.user

    async def body(self, req: Request, shape: type[T], *, optional: bool = False) -> T:
        """
        The request's JSON body in its shape.
        """
        raw = await read_json(req, limit=self.settings.json_body_limit, optional=optional)
        return structured(raw, shape)


class Doorkeeper:
    """
    Falcon middleware that tells whoever came beyond the limit of connections to come again.
    """

    async def process_resource(self, req: Request, _resp: Response, resource: object, _params: object) -> None:
        if isinstance(resource, Resource) and req.scope.get("sft.is_beyond", False):
            raise Busy("every connection there may be is taken")


@attrs.define
class FirstCheck:
    """
    Falcon middleware for a storage that could not be looked at: no resource asks it before that went through.
    """

    lane: Lane
    check: Callable[[], None]
    _passed: bool = attrs.field(default=False, init=False)

    async def process_resource(self, _req: Request, _resp: Response, resource: object, _params: object) -> None:
        if isinstance(resource, Resource) and not self._passed:
            await self.lane(self.check)
            self._passed = True


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
