"""
So much at once of what there is little of, and who waits for it.
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
    So many at once, `limit` of them; whoever waits longest is next.

    One who may be refused waits for `wait_seconds` at most. All of it belongs to the event loop's thread.
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
        Wait for one; `Busy` if one who is `refusable` gets none in time.
        """
        try:
            async with asyncio.timeout(self.wait_seconds if refusable else None):
                await self._free.acquire()
        except TimeoutError:
            raise Busy(f"no {self.name} became free in time") from None

    def give_back(self) -> None:
        """
        Let the next one have it.
        """
        self._free.release()

    @asynccontextmanager
    async def taken(self, *, refusable: bool = True) -> AsyncIterator[None]:
        """
        Have one for as long as the block runs; `Busy` as from `take`.
        """
        await self.take(refusable=refusable)
        try:
            yield
        finally:
            self.give_back()
