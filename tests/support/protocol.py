"""
One connection of the server to a client in the same process, without gunicorn's worker.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from gunicorn.config import Config

from sft_http.concurrency.min_rate import MinimumRate
from sft_http.server.fair_scheduler import RoundRobin
from sft_http.server.protocol import SftProtocol


class Log(logging.LoggerAdapter[logging.Logger]):
    """
    As much of gunicorn's log as a connection needs.
    """

    access_log_enabled = False


@asynccontextmanager
async def client_of(
    app: Callable[[Any, Any, Any], Awaitable[None]], *, over_limit: bool = False
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, SftProtocol]]:
    """
    Serve an ASGI application on one connection; yield the client's streams, and the server's side.
    """
    worker: Any = SimpleNamespace(
        asgi=app,
        app=SimpleNamespace(
            connection_limits=SimpleNamespace(max_connections=0 if over_limit else 8),
            settings=SimpleNamespace(server=SimpleNamespace(header_timeout_seconds=60, linger_seconds=0)),
        ),
        cfg=Config(),
        log=Log(logging.getLogger("gunicorn.error")),
        loop=asyncio.get_running_loop(),
        round_robin=RoundRobin(),
        connections=set(),
        new_minimum_rate=lambda: MinimumRate(tolerance_seconds=60, bytes_per_second=1),
        nr_conns=0,
        nr=0,
        max_requests=1 << 30,
        alive=True,
        accepted=0,
    )
    ours, theirs = socket.socketpair()
    _, protocol = await worker.loop.connect_accepted_socket(lambda: SftProtocol(worker), ours)
    reader, writer = await asyncio.open_connection(sock=theirs)
    try:
        yield reader, writer, protocol
    finally:
        writer.close()
        protocol.transport.abort()
        await asyncio.sleep(0)
