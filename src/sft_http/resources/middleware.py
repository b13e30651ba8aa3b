"""
Falcon middleware that runs before every resource.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
from falcon.asgi import Request, Response

from sft_adapters.settings import Settings
from sft_core.errors import Busy
from sft_http.asgi.connection import connection_of
from sft_http.concurrency.thread_pools import BoundedThreadPool
from sft_http.errors import UnsupportedTusVersion
from sft_http.headers import tus
from sft_http.resources.base import Resource
from sft_http.resources.tus import TusResource

_OVERRIDDEN: Final = ("PATCH", "DELETE", "HEAD")


class ConnectionMiddleware:
    """
    Falcon middleware that records the access log's route and raises `Busy` beyond the connection limit.
    """

    async def process_resource(self, req: Request, _resp: Response, resource: object, _params: object) -> None:
        connection = connection_of(req)
        connection.route = req.uri_template or ""
        if isinstance(resource, Resource) and connection.over_limit:
            raise Busy("the limit of connections is reached")


@attrs.define
class StorageReadyMiddleware:
    """
    Falcon middleware that checks the storage before the first request that needs it.

    The check was postponed at start, because the storage was unavailable. It runs again with each request until it
    passes; its error is the response until then.
    """

    pool: BoundedThreadPool
    check: Callable[[], None]
    _passed: bool = attrs.field(default=False, init=False)

    async def process_resource(self, _req: Request, _resp: Response, resource: object, _params: object) -> None:
        if isinstance(resource, Resource) and not self._passed:
            await self.pool(self.check)
            self._passed = True


@attrs.frozen
class TusVersionMiddleware:
    """
    Falcon middleware that adds the tus version to tus responses and rejects other versions.
    """

    settings: Settings

    async def process_request(self, req: Request, _resp: Response) -> None:
        override = req.get_header("X-HTTP-Method-Override")
        is_tus_path = req.path.startswith(f"{self.settings.app.api_prefix}/tus/")
        if is_tus_path and req.method == "POST" and override in _OVERRIDDEN:
            req.method = override

    async def process_resource(self, req: Request, resp: Response, resource: object, _params: object) -> None:
        if not isinstance(resource, TusResource):
            return
        resp.set_header("Tus-Resumable", tus.VERSION)
        if req.method != "OPTIONS" and req.get_header("Tus-Resumable") != tus.VERSION:
            resp.set_header("Tus-Version", tus.VERSION)
            raise UnsupportedTusVersion
