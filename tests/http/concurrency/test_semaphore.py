"""
Slots: so many at once, and who waits for one.
"""

from __future__ import annotations

import asyncio

import pytest

from sft_core.errors import Busy
from sft_http.concurrency.semaphore import TimedSemaphore


def test_one_that_may_be_refused_is_when_none_becomes_free() -> None:
    """And one that may not waits as long as it takes."""

    async def story() -> None:
        semaphore = TimedSemaphore("seat", 1, 0.01)
        await semaphore.acquire()
        with pytest.raises(Busy, match="no seat became free in time"):
            await semaphore.acquire()
        patient = asyncio.create_task(semaphore.acquire(may_reject=False))
        await asyncio.sleep(0.05)
        assert not patient.done()
        semaphore.release()
        await patient

    asyncio.run(story())


def test_whoever_waits_longest_is_next() -> None:
    """Also past one that has given up waiting."""

    async def story() -> None:
        semaphore, came = TimedSemaphore("seat", 1, 10), list[int]()

        async def sit(number: int) -> None:
            async with semaphore.acquired():
                came.append(number)

        await semaphore.acquire()
        waiting = [asyncio.create_task(sit(number)) for number in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        semaphore.release()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert came == [1, 2]

    asyncio.run(story())
