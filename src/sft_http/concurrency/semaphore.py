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
class Slots:
    """
    At most `limit` holders at a time, first come, first served.

    A refusable caller waits for at most `wait_seconds`. Not thread-safe: all methods run on the event loop.
    """

    name: str
    limit: int
    wait_seconds: float
    _free: asyncio.Semaphore = attrs.field(init=False, repr=False)

    @_free.default
    def _all_of_them(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self.limit)

    async def take(self, *, refusable: bool = True) -> None:
        """
        Acquire a slot.

        Raises:
            Busy: the caller is `refusable` and no slot became free in time.
        """
        try:
            async with asyncio.timeout(self.wait_seconds if refusable else None):
                await self._free.acquire()
        except TimeoutError:
            raise Busy(f"no {self.name} became free in time") from None

    def give_back(self) -> None:
        """
        Release a slot to the next waiting caller.
        """
        self._free.release()

    @asynccontextmanager
    async def taken(self, *, refusable: bool = True) -> AsyncIterator[None]:
        """
        Hold a slot while the block runs; raises `Busy` as `take` does.
        """
        await self.take(refusable=refusable)
        try:
            yield
        finally:
            self.give_back()
