"""
The Falcon application in which every request is counted, limited and logged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from falcon.asgi import App, Request, Response

from sft_core.errors import SftError
from sft_core.ports import IdGenerator
from sft_http.asgi.connection import connection_in
from sft_http.asgi.exchange import Exchange, Receive, Scope, Send
from sft_http.concurrency.min_rate import MinimumRate
from sft_http.concurrency.thread_pools import ThreadPools

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class InstrumentedApp(App[Request, Response]):
    """
    A Falcon application whose every response, errors included, has the same headers.
    """

    def __init__(
        self,
        *,
        ids: IdGenerator,
        pools: ThreadPools,
        minimum_rate: Callable[[], MinimumRate],
        varies_by_origin: bool,
        **options: Any,  # noqa: ANN401 (Falcon's own)
    ) -> None:
        super().__init__(**options)
        self._ids = ids
        self._pools = pools
        self._minimum_rate = minimum_rate
        self._varies_by_origin = varies_by_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]  # wider
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        # ASGI allows any iterable here, and an iterator can be read only once.
        scope["headers"] = [(name, value) for name, value in scope["headers"]]
        scope["client"] = tuple(scope.get("client") or ()) or None
        connection = connection_in(scope)
        connection.request_id = self._request_id(scope)
        exchange = Exchange(
            scope,
            receive,
            send,
            connection=connection,
            pools=self._pools,
            minimum_rate=self._minimum_rate(),
            varies_by_origin=self._varies_by_origin,
        )
        try:
            await super().__call__(scope, exchange.receive, exchange.send)
        except SftError as error:
            if not exchange.has_started:
                raise
            # Too late for a problem: the connection ends, so that no client takes what was sent for the whole.
            exchange.abort(error)
        finally:
            exchange.close()
            exchange.log()

    def _request_id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                return str(value.decode())
        return str(self._ids.new())
