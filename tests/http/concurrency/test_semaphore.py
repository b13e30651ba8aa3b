"""
The timed semaphore: its limit, the order of its waiters, and how long they wait.
"""

from __future__ import annotations

import asyncio

import pytest

from sft_core.errors import Busy
from sft_http.concurrency.semaphore import TimedSemaphore


def test_acquire_is_rejected_after_the_wait_limit() -> None:
    """An acquisition that may not be rejected waits as long as necessary."""

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


def test_longest_waiting_acquires_next() -> None:
    """A cancelled waiter is skipped."""

    async def story() -> None:
        semaphore, order = TimedSemaphore("seat", 1, 10), list[int]()

        async def sit(number: int) -> None:
            async with semaphore.acquired():
                order.append(number)

        await semaphore.acquire()
        waiting = [asyncio.create_task(sit(number)) for number in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        semaphore.release()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert order == [1, 2]

    asyncio.run(story())
