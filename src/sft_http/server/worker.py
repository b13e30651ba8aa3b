"""
gunicorn's ASGI worker as `sft serve` runs it: whom it serves, whom it gives up, how it stops.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
from asyncio import constants
from http import HTTPStatus
from typing import Any, Final

from gunicorn.asgi import protocol as gunicorn_protocol
from gunicorn.workers import gasgi

from sft_adapters.system import SystemClock, SystemEntropy, Uuid7Ids
from sft_http import problems
from sft_http.concurrency.min_rate import Pace
from sft_http.server.connection_limit import RETRY_SECONDS, Door, Room
from sft_http.server.fair_scheduler import Turns
from sft_http.server.malloc import share_one_heap
from sft_http.server.protocol import SftProtocol

_STATUSES: Final = (*map(int, HTTPStatus), *problems.OWN_PHRASES)

_FULL: Final = (errno.EMFILE, errno.ENFILE)

_LOOK_SECONDS: Final = 1.0
"""How often it is looked whether clients take what they are sent."""
_LOOKED_AT_TOGETHER: Final = 32
"""How many of them, before others have their turn."""
_TIDY_SECONDS: Final = 5.0
"""How often memory that nobody uses is given back to the system."""


class SftWorker(gasgi.ASGIWorker):  # type: ignore[misc]  # gunicorn ships no types
    """
    The worker class that `sft serve` runs.
    """

    def init_process(self) -> None:
        share_one_heap()
        settings = self.app.settings
        self.ids = Uuid7Ids(SystemClock(), SystemEntropy())
        self.connections: set[SftProtocol] = set()
        self.turns = Turns()
        self.inside = 0
        """How many connections have been let in and have not ended."""
        # A second, which is the loop's own, is long for who waits before the door.
        constants.ACCEPT_RETRY_DELAY = RETRY_SECONDS  # type: ignore[misc, assignment]  # there is no other way to say so
        for listener in self.sockets:
            listener.sock = Door(listener.sock, self._has_room, self._let_in)
        # The base class names its protocol in the body of a method, and its table of phrases lacks
        # some of ours; these module globals of this forked process are the one place to say so.
        gasgi.ASGIProtocol = SftProtocol
        gunicorn_protocol._REASON_PHRASES.update({s: problems.phrase(s) for s in _STATUSES})  # noqa: SLF001 (it offers no other)
        # The configuration is this process's copy. Its `timeout` is how long a body may stand
        # still here; its time to stop is shorter than the main process's, so that what is cut
        # is cleaned up before this process is ended.
        self.cfg.set("timeout", math.ceil(settings.server.stall_seconds))
        self.cfg.set("graceful_timeout", settings.server.graceful_stop_seconds)
        super().init_process()

    def _has_room(self) -> bool:
        room: Room = self.app.room
        return self.inside < room.served + room.spare

    def _let_in(self) -> None:
        self.inside += 1

    def new_pace(self) -> Pace:
        """
        The pace that a client has to keep.
        """
        settings = self.app.settings
        return Pace(
            patience_seconds=settings.server.stall_seconds, bytes_per_second=settings.server.min_bytes_per_second
        )

    async def _serve(self) -> None:
        self.loop.set_exception_handler(_told_unless_full)
        beside = [asyncio.create_task(task) for task in (self._give_up_slow_readers(), self._let_go())]
        try:
            await super()._serve()
        finally:
            for task in beside:
                task.cancel()

    async def _give_up_slow_readers(self) -> None:
        while True:
            before = self.loop.time()
            await asyncio.sleep(_LOOK_SECONDS)
            passed = self.loop.time() - before
            for number, connection in enumerate(tuple(self.connections)):
                connection.end_if_too_slow(passed)
                if number % _LOOKED_AT_TOGETHER == 0:
                    await asyncio.sleep(0)

    async def _let_go(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            self.app.let_go()

    async def _shutdown(self) -> None:
        if os.getppid() != self.ppid:
            # The main process is gone, and nobody would end this one. A successor waits for port and
            # database: what is under way is cut off and cleaned up, as after SIGQUIT.
            self._quick_shutdown = True
        # An idle connection would hold up the stop for as long as it is kept.
        for connection in tuple(self.connections):
            connection.end_if_idle()
        await super()._shutdown()


def _told_unless_full(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """
    Log what goes wrong in the loop, but not each second that nobody more can be let in.
    """
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in _FULL:
        return
    loop.default_exception_handler(context)
