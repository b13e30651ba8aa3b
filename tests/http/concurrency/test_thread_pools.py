"""
Bounded thread pools: limits on threads, queue length and waiting time.
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
    pool = BoundedThreadPool("test", threads, queue_limit, wait_seconds, processors)
    try:
        yield pool
    finally:
        pool.close()


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 20))


def arguments_and_thread(a: int, *, b: int) -> tuple[int, int, str]:
    return a, b, threading.current_thread().name


def test_call_runs_on_a_thread_of_the_pool() -> None:
    """Arguments, results and errors pass through."""

    async def story() -> None:
        with new_pool() as pool:
            assert await pool(arguments_and_thread, 1, b=2) == (1, 2, "sft-test_0")
            with pytest.raises(ZeroDivisionError):
                await pool(lambda: 1 // 0)

    run(story)


def test_full_pool_rejects_at_once() -> None:
    """With one call running and two queued the next one is rejected; a call without a limit is accepted."""

    async def story() -> None:
        gate = threading.Event()
        with new_pool(queue_limit=2) as pool:
            waiting = [asyncio.create_task(pool(gate.wait)) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Busy):
                await pool(gate.wait)
            unlimited = asyncio.create_task(pool.run_without_limit(gate.wait))
            await asyncio.sleep(0)
            gate.set()
            assert await asyncio.gather(*waiting, unlimited) == [True] * 4
            assert await pool(lambda: "idle again") == "idle again"

    run(story)


def test_call_that_waits_too_long_is_rejected_and_never_runs() -> None:
    """A call without a thread in time is rejected and not run later; a call that has started is awaited."""

    async def story() -> None:
        gate, calls = threading.Event(), list[str]()

        def take_long() -> None:
            calls.append("first")
            gate.wait()

        with new_pool(wait_seconds=0.2) as pool:
            first = asyncio.create_task(pool(take_long))
            await asyncio.sleep(0.05)
            with pytest.raises(Busy):
                await pool(calls.append, "second")
            assert not first.done()
            gate.set()
            await first
            await pool(calls.append, "third")
        assert calls == ["first", "third"]

    run(story)


def test_call_with_an_idle_thread_is_not_rejected() -> None:
    """Even with a wait limit of zero, the time that an idle thread needs to start does not count."""

    async def story() -> None:
        with new_pool(wait_seconds=0) as pool:
            assert [await pool(int, "7") for _ in range(200)] == [7] * 200

    run(story)


def test_cancelled_caller_waits_for_its_running_call() -> None:
    """CancelledError is raised after the call has ended, so no running call is abandoned."""

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
def test_extra_call_runs_on_an_idle_thread_only(threads: int, processors: int) -> None:
    """Of two threads or processors one is available; a second call is None until the first one has ended."""

    async def story() -> None:
        with new_pool(threads=threads, processors=processors) as pool:

            def working() -> list[bool]:
                gate = threading.Event()
                extra_call = pool.try_run(gate.wait)
                refused = pool.try_run(gate.wait) is None
                gate.set()
                assert extra_call is not None
                return [extra_call.result(20), refused]

            assert [await pool(working) for _ in range(3)] == [[True, True]] * 3

    run(story)


def test_thread_of_an_extra_call_counts_as_busy() -> None:
    """A call that finds its thread occupied by an extra call is rejected after the usual wait."""

    async def story() -> None:
        gate = threading.Event()
        with new_pool(wait_seconds=0.05) as pool:
            extra_call = pool.try_run(lambda: gate.wait(10))
            with pytest.raises(Busy):
                await pool(arguments_and_thread, 1, b=2)
            gate.set()
            assert extra_call is not None
            assert extra_call.result(20)
            assert (await pool(arguments_and_thread, 1, b=2))[:2] == (1, 2)

    run(story)


def test_queued_extra_call_can_be_cancelled() -> None:
    """A cancelled extra call no longer counts and never runs."""

    async def story() -> None:
        gate, calls = threading.Event(), list[str]()
        with new_pool(threads=2) as pool:
            blockers = [asyncio.create_task(pool(gate.wait))]
            await asyncio.sleep(0)
            # The threads are busy with uncounted calls, as between the end of a call and the report of its end.
            uncounted = [pool._executor.submit(gate.wait) for _ in range(2)]
            extra_call = pool.try_run(lambda: calls.append("never"))
            assert extra_call is not None
            assert extra_call.cancel()
            again = pool.try_run(lambda: calls.append("later"))
            gate.set()
            assert again is not None
            again.result(20)
            await asyncio.gather(*blockers)
            assert [waited.result(20) for waited in uncounted] == [True, True]
        assert calls == ["later"]

    run(story)


def test_closed_pool_runs_no_extra_call() -> None:
    """After close `try_run` returns None, and the caller does all the work itself."""
    with new_pool(threads=2) as pool:
        pass
    assert [pool.try_run(int) for _ in range(3)] == [None] * 3
    assert pool._extra_calls == 0


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_call_is_rejected_and_never_runs_if_no_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it stay counted as in progress."""

    async def story() -> None:
        calls = list[str]()
        with new_pool(threads=3) as pool:
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", no_thread)
                for call in (pool, pool.run_without_limit):
                    with pytest.raises(Busy):
                        await call(calls.append, "refused")
            await asyncio.gather(*(pool(calls.append, "run") for _ in range(4)))
            assert pool._under_way == 0
        assert calls == ["run"] * 4

    run(story)


def test_extra_call_is_none_and_never_runs_if_no_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller then does all the work itself, so no part of it may run later."""

    async def story() -> None:
        calls = list[str]()
        with new_pool(threads=3) as pool:

            def working() -> None:
                with monkeypatch.context() as patched:
                    patched.setattr(threading.Thread, "start", no_thread)
                    assert pool.try_run(lambda: calls.append("extra")) is None

            await pool(working)
            await asyncio.gather(*(pool(calls.append, "run") for _ in range(4)))
            assert pool._extra_calls == 0
        assert calls == ["run"] * 4

    run(story)


def test_queued_call_is_cancelled_when_the_pool_closes() -> None:
    """A call that no thread has started is cancelled, and so is the task that awaits it."""

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
