"""
A queue of failed calls that are retried until they succeed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from sft_core.errors import SftError

log: Final = logging.getLogger("sft.retries")

Call = Callable[[], None]


@attrs.define
class RetryQueue:
    """
    Retries each call every `seconds` until it raises no `SftError`.

    One call runs at a time, on a thread pool. Calls beyond `limit`, and those left when the process ends, are not
    retried: a sweep finds the same work by the rows. Not thread-safe: all methods run on the event loop.
    """

    _in_thread: Callable[[Call], Awaitable[None]]
    seconds: float = 5.0
    limit: int = 10_000
    _calls: deque[Call] = attrs.field(factory=deque, init=False)
    _next: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _round: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    def submit(self, call: Call) -> None:
        """
        Queue a call; its first retry is due after `seconds`.
        """
        if len(self._calls) < self.limit:
            self._calls.append(call)
            self._schedule()

    @property
    def is_idle(self) -> bool:
        """
        Whether no call is queued or running.
        """
        return self._next is None

    def _schedule(self) -> None:
        # A timer, not a sleeping task: an event loop that is closing drops it without a warning.
        if self._next is None:
            self._next = asyncio.get_running_loop().call_later(self.seconds, self._begin_round)

    def _begin_round(self) -> None:
        self._round = asyncio.create_task(self._retry_all())

    async def _retry_all(self) -> None:
        for _ in range(len(self._calls)):
            call = self._calls.popleft()
            try:
                await self._in_thread(call)
            except SftError:
                self._calls.append(call)
            except Exception:
                # A defect: further attempts would fail the same way.
                log.exception("a queued call failed unexpectedly and is not retried")
        self._next = None
        if self._calls:
            self._schedule()
