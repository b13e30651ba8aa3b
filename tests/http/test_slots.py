"""
Slots: so many at once, and who waits for one.
"""

from __future__ import annotations

import asyncio

import pytest

from sft_core.errors import Busy
from sft_http.concurrency.semaphore import Slots


def test_one_that_may_be_refused_is_when_none_becomes_free() -> None:
    """And one that may not waits as long as it takes."""

    async def story() -> None:
        slots = Slots("seat", 1, 0.01)
        await slots.take()
        with pytest.raises(Busy, match="no seat became free in time"):
            await slots.take()
        patient = asyncio.create_task(slots.take(refusable=False))
        await asyncio.sleep(0.05)
        assert not patient.done()
        slots.give_back()
        await patient

    asyncio.run(story())


def test_whoever_waits_longest_is_next() -> None:
    """Also past one that has given up waiting."""

    async def story() -> None:
        slots, came = Slots("seat", 1, 10), list[int]()

        async def sit(number: int) -> None:
            async with slots.taken():
                came.append(number)

        await slots.take()
        waiting = [asyncio.create_task(sit(number)) for number in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        slots.give_back()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert came == [1, 2]

    asyncio.run(story())
