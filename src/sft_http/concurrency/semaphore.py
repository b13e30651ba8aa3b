"""
A semaphore with a time limit on waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from sft_core.errors import Busy


@attrs.define
class TimedSemaphore:
    """
    At most `limit` holders at a time, first come, first served.

    Not thread-safe: all methods run on the event loop.
    """

    name: str
    limit: int
    wait_seconds: float
    _semaphore: asyncio.Semaphore = attrs.field(init=False, repr=False)

    @_semaphore.default
    def _new_semaphore(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self.limit)

    async def acquire(self, *, may_reject: bool = True) -> None:
        """
        Acquire a slot; if the caller `may_reject`, raise `Busy` when none becomes free within `wait_seconds`.
        """
        try:
            async with asyncio.timeout(self.wait_seconds if may_reject else None):
                await self._semaphore.acquire()
        except TimeoutError:
            raise Busy(f"no {self.name} became free in time") from None

    def release(self) -> None:
        self._semaphore.release()

    @asynccontextmanager
    async def acquired(self, *, may_reject: bool = True) -> AsyncIterator[None]:
        """
        Hold a slot while the block runs; raises `Busy` as `acquire` does.
        """
        await self.acquire(may_reject=may_reject)
        try:
            yield
        finally:
            self.release()
