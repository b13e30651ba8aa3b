"""
gunicorn's ASGI worker as `sft serve` runs it: whom it serves, whom it gives up, how it stops.
"""

from __future__ import annotations

import asyncio
import math
from http import HTTPStatus
from typing import Final

from gunicorn.asgi import protocol as gunicorn_protocol
from gunicorn.workers import gasgi

from sft_adapters.system import SystemClock, SystemEntropy, Uuid7Ids
from sft_http import problems
from sft_http.heap import share_one_heap
from sft_http.pace import Pace
from sft_http.protocol import SftProtocol

_STATUSES: Final = (*map(int, HTTPStatus), *problems.OWN_PHRASES)

_LOOK_SECONDS: Final = 1.0
"""How often it is looked whether clients take what they are sent."""


class SftWorker(gasgi.ASGIWorker):  # type: ignore[misc]  # gunicorn ships no types
    """
    The worker class that `sft serve` runs.
    """

    def init_process(self) -> None:
        share_one_heap()
        settings = self.app.settings
        self.ids = Uuid7Ids(SystemClock(), SystemEntropy())
        self.connections: set[SftProtocol] = set()
        # The base class names its protocol in the body of a method, and its table of phrases lacks
        # some of ours; these module globals of this forked process are the one place to say so.
        gasgi.ASGIProtocol = SftProtocol
        gunicorn_protocol._REASON_PHRASES.update({s: problems.phrase(s) for s in _STATUSES})  # noqa: SLF001 (it offers no other)
        # The configuration is this process's copy. Its `timeout` is how long a body may stand
        # still here; its time to stop is shorter than the main process's, so that what is cut
        # is cleaned up before this process is ended.
        self.cfg.set("timeout", math.ceil(settings.stall_seconds))
        self.cfg.set("graceful_timeout", settings.graceful_stop_seconds)
        super().init_process()

    def new_pace(self) -> Pace:
        """
        The pace that a client has to keep.
        """
        settings = self.app.settings
        return Pace(patience_seconds=settings.stall_seconds, bytes_per_second=settings.min_bytes_per_second)

    async def _serve(self) -> None:
        watch = asyncio.create_task(self._give_up_slow_readers())
        try:
            await super()._serve()
        finally:
            watch.cancel()

    async def _give_up_slow_readers(self) -> None:
        while True:
            before = self.loop.time()
            await asyncio.sleep(_LOOK_SECONDS)
            passed = self.loop.time() - before
            for connection in tuple(self.connections):
                connection.end_if_too_slow(passed)

    async def _shutdown(self) -> None:
        # An idle connection would hold up the stop for as long as it is kept.
        for connection in tuple(self.connections):
            connection.end_if_idle()
        await super()._shutdown()
