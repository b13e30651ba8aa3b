"""
Long work on the event loop, in short stretches: one in each turn of the loop, whoever wants it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import attrs


@attrs.frozen
class RoundRobin:
    """
    Lets those that have more to do than fits into a turn of the event loop go on one after the other.

    However many they are, everybody else waits for one stretch at a time.
    """

    _queue: deque[Callable[[], None]] = attrs.field(factory=deque, init=False)

    def enqueue(self, work: Callable[[], None]) -> None:
        """
        Have a stretch of work done once those that came before have had their turns.
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
