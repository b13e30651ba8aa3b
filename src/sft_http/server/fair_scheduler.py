"""
Round-robin scheduling of long work on the event loop: one short step in each iteration.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import attrs


@attrs.frozen
class RoundRobin:
    """
    A queue of steps of which one runs in each iteration of the event loop.

    However many steps are queued, all other callbacks wait for one step at a time.
    """

    _queue: deque[Callable[[], None]] = attrs.field(factory=deque, init=False)

    def enqueue(self, work: Callable[[], None]) -> None:
        """
        Run a step once those that were enqueued before it have run.
        """
        self._queue.append(work)
        if len(self._queue) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        work = self._queue.popleft()
        if self._queue:
            # Not run before everything that is ready now: the loop takes up in its next turn what is added in this one.
            asyncio.get_running_loop().call_soon(self._next)
        work()
