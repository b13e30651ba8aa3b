"""
Lanes: bounded in threads, in how many wait, and in how long.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sft_core.errors import Busy
from sft_http.concurrency.thread_pools import BoundedThreadPool


@contextmanager
def new_pool(
    *, threads: int = 1, queue_limit: int = 8, wait_seconds: float | None = None, processors: int = 64
) -> Iterator[BoundedThreadPool]:
    made = BoundedThreadPool("test", threads, queue_limit, wait_seconds, processors)
    try:
        yield made
    finally:
        made.close()


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 20))


def told(a: int, *, b: int) -> tuple[int, int, str]:
    return a, b, threading.current_thread().name


def test_calls_run_on_the_lanes_own_threads() -> None:
    """Arguments and results pass through, and so do errors."""

    async def story() -> None:
        with new_pool() as pool:
            assert await pool(told, 1, b=2) == (1, 2, "sft-test_0")
            with pytest.raises(ZeroDivisionError):
                await pool(lambda: 1 // 0)

    run(story)


def test_a_full_lane_refuses_at_once() -> None:
    """One runs, two wait, the next is busy; cleaning up is never refused."""

    async def story() -> None:
        gate = threading.Event()
        with new_pool(queue_limit=2) as pool:
            waiting = [asyncio.create_task(pool(gate.wait)) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Busy):
                await pool(gate.wait)
            insisting = asyncio.create_task(pool.run_without_limit(gate.wait))
            await asyncio.sleep(0)
            gate.set()
            assert await asyncio.gather(*waiting, insisting) == [True] * 4
            assert await pool(lambda: "free again") == "free again"

    run(story)


def test_who_waits_too_long_is_refused_and_never_begun() -> None:
    """A call that found no thread in time is not run later; one that has begun is waited for."""

    async def story() -> None:
        gate, begun = threading.Event(), list[str]()

        def take_long() -> None:
            begun.append("first")
            gate.wait()

        with new_pool(wait_seconds=0.2) as pool:
            first = asyncio.create_task(pool(take_long))
            await asyncio.sleep(0.05)
            with pytest.raises(Busy):
                await pool(begun.append, "second")
            assert not first.done()
            gate.set()
            await first
            await pool(begun.append, "third")
        assert begun == ["first", "third"]

    run(story)


def test_who_finds_a_thread_free_waits_for_it() -> None:
    """However short the wait for one that is not: it was not refused because the thread took a moment to begin."""

    async def story() -> None:
        with new_pool(wait_seconds=0) as pool:
            assert [await pool(int, "7") for _ in range(200)] == [7] * 200

    run(story)


def test_who_is_cancelled_is_told_when_the_call_has_ended() -> None:
    """A call that has begun is never left behind."""

    async def story() -> None:
        ended = threading.Event()
        with new_pool() as pool:

            def slow() -> None:
                time.sleep(0.2)
                ended.set()

            task = asyncio.create_task(pool(slow))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ended.is_set()

    run(story)


@pytest.mark.parametrize(("threads", "processors"), [(2, 64), (64, 2)])
def test_an_idle_thread_helps_and_no_other(threads: int, processors: int) -> None:
    """There is help for one of two threads, or processors; none for the second caller, and again when it has ended."""

    async def story() -> None:
        gate = threading.Event()
        with new_pool(threads=threads, processors=processors) as pool:

            def working() -> list[bool]:
                helping = pool.try_run(gate.wait)
                refused = pool.try_run(gate.wait) is None
                gate.set()
                assert helping is not None
                return [helping.result(20), refused]

            assert [await pool(working) for _ in range(3)] == [[True, True]] * 3

    run(story)


def test_who_helps_counts_as_busy() -> None:
    """A call that finds its thread taken for that is not left waiting for longer than it may."""

    async def story() -> None:
        gate = threading.Event()
        with new_pool(wait_seconds=0.05) as pool:
            helping = pool.try_run(lambda: gate.wait(10))
            with pytest.raises(Busy):
                await pool(told, 1, b=2)
            gate.set()
            assert helping is not None
            assert helping.result(20)
            assert (await pool(told, 1, b=2))[:2] == (1, 2)

    run(story)


def test_help_that_has_not_been_begun_is_taken_back() -> None:
    """It counts no more, and is never run."""

    async def story() -> None:
        gate, begun = threading.Event(), list[str]()
        with new_pool(threads=2) as pool:
            held_up = [asyncio.create_task(pool(gate.wait))]
            await asyncio.sleep(0)
            # The threads are busy with what nobody has counted, as between a call's end and its being told.
            uncounted = [pool._executor.submit(gate.wait) for _ in range(2)]
            helping = pool.try_run(lambda: begun.append("never"))
            assert helping is not None
            assert helping.cancel()
            again = pool.try_run(lambda: begun.append("in the end"))
            gate.set()
            assert again is not None
            again.result(20)
            await asyncio.gather(*held_up)
            assert [waited.result(20) for waited in uncounted] == [True, True]
        assert begun == ["in the end"]

    run(story)


def test_a_closed_lane_helps_nobody() -> None:
    """Whoever is at work when it closes goes on alone."""
    with new_pool(threads=2) as pool:
        pass
    assert [pool.try_run(int) for _ in range(3)] == [None] * 3
    assert pool._extra_calls == 0


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_call_that_no_thread_could_be_started_for_is_refused_and_never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it count as under way for ever."""

    async def story() -> None:
        begun = list[str]()
        with new_pool(threads=3) as pool:
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", no_thread)
                for call in (pool, pool.run_without_limit):
                    with pytest.raises(Busy):
                        await call(begun.append, "refused")
            await asyncio.gather(*(pool(begun.append, "run") for _ in range(4)))
            assert pool._under_way == 0
        assert begun == ["run"] * 4

    run(story)


def test_help_that_no_thread_could_be_started_for_is_none_and_never_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes on without it does all by itself: nobody may do a part of it later."""

    async def story() -> None:
        begun = list[str]()
        with new_pool(threads=3) as pool:

            def working() -> None:
                with monkeypatch.context() as patched:
                    patched.setattr(threading.Thread, "start", no_thread)
                    assert pool.try_run(lambda: begun.append("unasked")) is None

            await pool(working)
            await asyncio.gather(*(pool(begun.append, "run") for _ in range(4)))
            assert pool._extra_calls == 0
        assert begun == ["run"] * 4

    run(story)


def test_who_waits_when_the_lane_closes_is_told() -> None:
    """A call that no thread has begun is cancelled, and so is whoever waits for it."""

    async def story() -> None:
        gate = threading.Event()
        with new_pool() as pool:
            first, second = (asyncio.create_task(pool(gate.wait)) for _ in range(2))
            await asyncio.sleep(0.05)
            closing = asyncio.create_task(asyncio.to_thread(pool.close))
            with pytest.raises(asyncio.CancelledError):
                await second
            gate.set()
            assert await first
            await closing

    run(story)
