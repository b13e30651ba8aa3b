"""
One connection of the server to a client in the same process, without gunicorn's worker.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
from gunicorn.config import Config

from sft_adapters.settings.catalogue import ServerSettings
from sft_http.server.connection_limit import ConnectionLimits
from sft_http.server.fair_scheduler import RoundRobin
from sft_http.server.protocol import SftProtocol

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


class Log(logging.LoggerAdapter[logging.Logger]):
    """
    As much of gunicorn's log as a connection needs.
    """

    access_log_enabled = False


@attrs.frozen
class InProcessSettings:
    """
    As much of the settings as a connection needs.
    """

    server: ServerSettings = attrs.field(
        factory=lambda: ServerSettings(header_timeout_seconds=60, linger_seconds=0, min_bytes_per_second=1)
    )


@attrs.frozen
class InProcessServer:
    """
    As much of `gunicorn_app.Server` as a connection needs.
    """

    connection_limits: ConnectionLimits
    settings: InProcessSettings = attrs.field(factory=InProcessSettings)


async def no_app(scope: Any, _receive: Any, _send: Any) -> None:
    """
    The application of connections on which no request is sent.
    """
    raise AssertionError(scope)


@attrs.define(eq=False)
class InProcessWorker:
    """
    As much of gunicorn's worker, and of `SftWorker`, as a connection needs.
    """

    asgi: AsgiApp = no_app
    app: InProcessServer = attrs.field(factory=lambda: InProcessServer(ConnectionLimits(max_connections=8, reserve=0)))
    cfg: Config = attrs.field(factory=Config)
    log: Log = attrs.field(factory=lambda: Log(logging.getLogger("gunicorn.error")))
    round_robin: RoundRobin = attrs.field(factory=RoundRobin)
    connections: set[SftProtocol] = attrs.field(factory=set)
    accepted: int = 0
    alive: bool = True
    max_requests: int = 1 << 30
    nr: int = 0
    nr_conns: int = 0

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, SftProtocol]:
        """
        Open a connection; return the client's streams, and the server's side.
        """
        ours, theirs = socket.socketpair()
        _, protocol = await self.loop.connect_accepted_socket(lambda: SftProtocol(self), ours)
        reader, writer = await asyncio.open_connection(sock=theirs)
        return reader, writer, protocol


@asynccontextmanager
async def client_of(
    app: AsgiApp, *, over_limit: bool = False
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, SftProtocol]]:
    """
    Serve an ASGI application on one connection; yield the client's streams, and the server's side.
    """
    limits = ConnectionLimits(max_connections=0 if over_limit else 8, reserve=0)
    reader, writer, protocol = await InProcessWorker(app, InProcessServer(limits)).connect()
    try:
        yield reader, writer, protocol
    finally:
        writer.close()
        protocol.transport.abort()
        await asyncio.sleep(0)
