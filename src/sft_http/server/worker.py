"""
gunicorn's ASGI worker for `sft serve`: how it accepts and aborts connections, and stops.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
from asyncio import constants
from http import HTTPStatus
from typing import Any, Final

from sft_adapters.system import SystemClock, SystemEntropy, Uuid7Generator
from sft_http import problems
from sft_http.server.connection_limit import RETRY_SECONDS, ConnectionLimits, ThrottledListener
from sft_http.server.fair_scheduler import RoundRobin
from sft_http.server.gunicorn_internals import REASON_PHRASES, Worker, use_protocol
from sft_http.server.malloc import limit_arenas
from sft_http.server.protocol import SftProtocol

_STATUSES: Final = (*map(int, HTTPStatus), *problems.EXTRA_PHRASES)

_OUT_OF_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE)

_CHECK_SECONDS: Final = 1.0
"""How often the worker checks whether clients accept their responses."""
_CHECKS_PER_SLICE: Final = 32
"""How many connections it checks before other tasks run."""
_TRIM_SECONDS: Final = 5.0
"""How often unused memory is returned to the system."""


class SftWorker(Worker):
    """
    The worker class that `sft serve` runs.
    """

    def init_process(self) -> None:
        limit_arenas()
        settings = self.app.settings
        self.ids = Uuid7Generator(SystemClock(), SystemEntropy())
        self.connections: set[SftProtocol] = set()
        self.round_robin = RoundRobin()
        self.accepted = 0
        """How many accepted connections have not ended."""
        # The loop's own delay of a second is long for a client that waits to be accepted.
        constants.ACCEPT_RETRY_DELAY = RETRY_SECONDS  # type: ignore[misc, assignment]  # asyncio has no setting for it
        for listener in self.sockets:
            listener.sock = ThrottledListener(listener.sock, self._has_capacity, self._on_accept)
        use_protocol(SftProtocol)
        REASON_PHRASES.update({status: problems.phrase(status) for status in _STATUSES})
        # The configuration is this process's copy. Its `timeout` bounds the wait for a piece of a body. Its graceful
        # timeout is shorter than the main process's: requests that are cut off are cleaned up before it kills this one.
        self.cfg.set("timeout", math.ceil(settings.server.stall_seconds))
        self.cfg.set("graceful_timeout", settings.server.graceful_stop_seconds)
        super().init_process()

    def _has_capacity(self) -> bool:
        connection_limits: ConnectionLimits = self.app.connection_limits
        return self.accepted < connection_limits.max_connections + connection_limits.reserve

    def _on_accept(self) -> None:
        self.accepted += 1

    async def serve(self) -> None:
        self.loop.set_exception_handler(_log_unless_out_of_descriptors)
        tasks = [asyncio.create_task(task) for task in (self._abort_slow_readers(), self._trim_memory())]
        try:
            await super().serve()
        finally:
            for task in tasks:
                task.cancel()

    async def _abort_slow_readers(self) -> None:
        while True:
            before = self.loop.time()
            await asyncio.sleep(_CHECK_SECONDS)
            elapsed = self.loop.time() - before
            for number, connection in enumerate(tuple(self.connections)):
                connection.abort_if_too_slow(elapsed)
                if number % _CHECKS_PER_SLICE == 0:
                    await asyncio.sleep(0)

    async def _trim_memory(self) -> None:
        while True:
            await asyncio.sleep(_TRIM_SECONDS)
            self.app.trim_memory()

    async def shut_down(self) -> None:
        """
        Close idle connections, and await requests in progress for at most the graceful timeout.
        """
        if os.getppid() != self.ppid:
            # The main process has ended and cannot kill this one. A successor needs port and database: requests in
            # progress are cut off and cleaned up, as after SIGQUIT.
            self.skips_graceful_timeout = True
        # gunicorn would wait until an idle connection reaches its keep-alive timeout.
        for connection in tuple(self.connections):
            connection.close_if_idle()
        await super().shut_down()


def _log_unless_out_of_descriptors(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """
    Log errors of the event loop, except that no further connection can be accepted.
    """
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in _OUT_OF_DESCRIPTORS:
        return
    loop.default_exception_handler(context)
