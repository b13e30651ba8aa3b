"""
Middleware that every resource runs behind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
from falcon.asgi import Request, Response

from sft_adapters.settings import Settings
from sft_core.errors import Busy
from sft_http.concurrency.thread_pools import Lane
from sft_http.errors import UnsupportedTusVersion
from sft_http.headers import tus
from sft_http.resources.base import Resource
from sft_http.resources.tus import TusResource

_OVERRIDDEN: Final = ("PATCH", "DELETE", "HEAD")


class RouteNote:
    """
    Falcon middleware that notes which route a request took, for the log.
    """

    async def process_resource(self, req: Request, _resp: Response, _resource: object, _params: object) -> None:
        req.scope["sft.route"] = req.uri_template or ""


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


@attrs.frozen
class Speaking:
    """
    Falcon middleware: every answer of tus names its version, and nothing of another one is looked at.
    """

    settings: Settings

    async def process_request(self, req: Request, _resp: Response) -> None:
        override = req.get_header("X-HTTP-Method-Override")
        beneath = req.path.startswith(f"{self.settings.app.api_prefix}/tus/")
        if beneath and req.method == "POST" and override in _OVERRIDDEN:
            req.method = override

    async def process_resource(self, req: Request, resp: Response, resource: object, _params: object) -> None:
        if not isinstance(resource, TusResource):
            return
        resp.set_header("Tus-Resumable", tus.VERSION)
        if req.method != "OPTIONS" and req.get_header("Tus-Resumable") != tus.VERSION:
            resp.set_header("Tus-Version", tus.VERSION)
            raise UnsupportedTusVersion
