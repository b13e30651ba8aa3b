"""
What is owed is made good: sooner or later, once, and by nobody when the service has ended.
"""

from __future__ import annotations

import asyncio
from threading import Event

import attrs
import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_core.errors import BlobStoreUnavailable, DatabaseUnavailable
from sft_core.values import FileName
from sft_http.concurrency.retry_queue import Retries
from sft_http.concurrency.thread_pools import Lanes
from sft_http.transfers.upload import abort
from support.library import LIGHT, FaultyBlobs, register
from support.resumable import keys, used
from support.waiting import eventually


class Flaky:
    """
    A call that fails so many times, and then does it.
    """

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.left = failures
        self.calls = 0
        self.error = error or DatabaseUnavailable()

    def __call__(self) -> None:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error


def test_each_call_is_made_until_it_succeeds_and_then_no_more() -> None:
    """Those that succeed sooner do not wait for the others; afterwards no thread is left."""
    retries = Retries(seconds=0.01)
    calls = [Flaky(number) for number in (0, 1, 3)]
    for call in calls:
        retries.owe(call)
    eventually(lambda: retries._thread is None)
    assert [call.calls for call in calls] == [1, 2, 4]
    again = Flaky(1)
    retries.owe(again)
    eventually(lambda: retries._thread is None)
    assert again.calls == 2
    retries.close()


def test_a_fault_of_ours_is_not_tried_for_ever() -> None:
    """What raises anything else is told in the log and given up; the others go on."""
    retries = Retries(seconds=0.01)
    broken, other = Flaky(5, ZeroDivisionError()), Flaky(1)
    retries.owe(broken)
    retries.owe(other)
    eventually(lambda: retries._thread is None)
    assert (broken.calls, other.calls) == (1, 2)


def test_no_more_is_owed_than_there_is_room_for() -> None:
    """What is beyond the limit is for the sweep."""
    begun, go_on = Event(), Event()
    retries = Retries(seconds=0.01, limit=2)

    def slow() -> None:
        begun.set()
        go_on.wait(10)

    retries.owe(slow)
    assert begun.wait(10)
    others = [Flaky(0) for _ in range(3)]
    for call in others:
        retries.owe(call)
    go_on.set()
    eventually(lambda: retries._thread is None)
    assert [call.calls for call in others] == [1, 1, 0]


def test_after_the_end_nothing_is_tried() -> None:
    """What is still owed stays with the rows; nothing new is taken."""
    retries = Retries(seconds=60)
    call = Flaky(0)
    retries.owe(call)
    retries.close()
    retries.owe(call)
    assert call.calls == 0


@pytest.mark.parametrize("call", ["list", "delete"])
def test_an_upload_that_cannot_be_removed_now_is_removed_later(lanes: Lanes, call: str) -> None:
    """Nothing of it waits for the sweep: when the store answers again, its parts and what it held are gone."""
    lanes.retries.seconds = 0.01
    sft = memory_application(environ=LIGHT)
    maya = register(sft, "maya")
    upload = sft.begin_upload(owner=maya.id, name=FileName.parse("left.bin"))
    sft.store_part(upload, b"came")
    blobs = FaultyBlobs(sft.abort_upload.blobs, {(call, nth): BlobStoreUnavailable() for nth in range(2)})
    away = attrs.evolve(sft, abort_upload=attrs.evolve(sft.abort_upload, blobs=blobs))
    asyncio.run(abort(away, lanes, upload))
    eventually(lambda: lanes.retries._thread is None)
    assert (used(sft, maya), keys(sft)) == (0, set())
