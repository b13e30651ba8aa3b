"""
The retry queue: each failed call is retried until it succeeds, and no call after its event loop has ended.
"""

from __future__ import annotations

import asyncio
from threading import Event
from typing import Any

import attrs
import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_core.errors import BlobStoreUnavailable, DatabaseUnavailable
from sft_core.values import FileName
from sft_http.concurrency.retry_queue import RetryQueue
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.transfers.upload import abort
from support.app.library import LIGHT, FaultyBlobs, register
from support.app.resumable import keys, used
from support.app.use_cases import with_use_cases
from support.waiting import eventually


class Flaky:
    """
    A call that fails a given number of times and then succeeds.
    """

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures_left = failures
        self.calls = 0
        self.error = error or DatabaseUnavailable()

    def __call__(self) -> None:
        self.calls += 1
        if self.failures_left:
            self.failures_left -= 1
            raise self.error


def test_each_call_is_retried_until_it_succeeds() -> None:
    """Calls that succeed early do not wait for the others; afterwards the queue is idle and can be used again."""

    async def run() -> None:
        retry_queue = RetryQueue(asyncio.to_thread, seconds=0.01)
        calls = [Flaky(number) for number in (0, 1, 3)]
        for call in calls:
            retry_queue.submit(call)
        await asyncio.to_thread(eventually, lambda: retry_queue.is_idle)
        assert [call.calls for call in calls] == [1, 2, 4]
        again = Flaky(1)
        retry_queue.submit(again)
        await asyncio.to_thread(eventually, lambda: retry_queue.is_idle)
        assert again.calls == 2

    asyncio.run(run())


def test_call_that_fails_unexpectedly_is_not_retried(caplog: pytest.LogCaptureFixture) -> None:
    """An error that is no `SftError` is logged and its call is dropped; the other calls are retried."""
    broken, other = Flaky(5, ZeroDivisionError()), Flaky(1)

    async def run() -> None:
        retry_queue = RetryQueue(asyncio.to_thread, seconds=0.01)
        retry_queue.submit(broken)
        retry_queue.submit(other)
        await asyncio.to_thread(eventually, lambda: retry_queue.is_idle)

    asyncio.run(run())
    assert (broken.calls, other.calls) == (1, 2)
    assert [record.name for record in caplog.records] == ["sft.retries"]


def test_call_beyond_the_queue_limit_is_not_made() -> None:
    """Its work is left to the sweep."""
    started, resume = Event(), Event()
    others = [Flaky(0) for _ in range(3)]

    def slow() -> None:
        started.set()
        assert resume.wait(10)

    async def run() -> None:
        retry_queue = RetryQueue(asyncio.to_thread, seconds=0.01, limit=2)
        retry_queue.submit(slow)
        assert await asyncio.to_thread(started.wait, 10)
        for call in others:
            retry_queue.submit(call)
        resume.set()
        await asyncio.to_thread(eventually, lambda: retry_queue.is_idle)

    asyncio.run(run())
    assert [call.calls for call in others] == [1, 1, 0]


@pytest.mark.filterwarnings("error")
def test_queued_call_is_not_made_after_the_event_loop_has_ended() -> None:
    """A queued call keeps no event loop open and leaves no pending task; its work is left to the sweep."""
    call = Flaky(0)

    async def run() -> set[asyncio.Task[Any]]:
        RetryQueue(asyncio.to_thread, seconds=60).submit(call)
        return asyncio.all_tasks() - set(filter(None, [asyncio.current_task()]))

    assert asyncio.run(run()) == set()
    assert call.calls == 0


def test_cancelled_retry_waits_for_its_call(pools: ThreadPools) -> None:
    """When the event loop ends during a retry, no thread is left working on an upload."""
    started, ended = Event(), Event()

    def slow() -> None:
        started.set()
        ended.wait(0.2)
        ended.set()

    async def run() -> None:
        pools.retry_queue.seconds = 0.01
        pools.retry_queue.submit(slow)
        assert await asyncio.to_thread(started.wait, 10)

    asyncio.run(run())
    assert ended.is_set()


@pytest.mark.parametrize("call", ["list", "delete"])
def test_failed_abort_is_retried_until_the_upload_is_deleted(pools: ThreadPools, call: str) -> None:
    """Once the store responds again, the parts are deleted and the quota is released without a sweep."""
    pools.retry_queue.seconds = 0.01
    sft = memory_application(environ=LIGHT)
    maya = register(sft, "maya")
    upload = sft.vault.begin_upload(owner=maya.id, name=FileName.parse("left.bin"))
    sft.vault.store_part(upload, b"content")
    blobs = FaultyBlobs(sft.vault.abort_upload.blobs, {(call, nth): BlobStoreUnavailable() for nth in range(2)})
    failing = with_use_cases(sft, abort_upload=attrs.evolve(sft.vault.abort_upload, blobs=blobs))

    async def run() -> None:
        await abort(failing, pools, upload)
        await asyncio.to_thread(eventually, lambda: pools.retry_queue.is_idle)

    asyncio.run(run())
    assert (used(sft, maya), keys(sft)) == (0, set())
