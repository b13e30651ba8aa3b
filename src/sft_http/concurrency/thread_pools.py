"""
Bounded lanes between the event loop and the synchronous core.

The loop talks to all clients; the core blocks. Each kind of blocking work has a lane of its own,
so that a hundred sign-ins that wait for Argon2 do not hold up a listing, and a listing does not
hold up the bytes of a transfer. A lane has a fixed number of threads and a bounded queue: what
finds the queue full is answered "busy" at once instead of waiting without end.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

import attrs

from sft_core.errors import Busy
from sft_http.concurrency.memory_budgets import Limits
from sft_http.concurrency.retry_queue import Retries

P = ParamSpec("P")
T = TypeVar("T")


def _processors() -> int:
    """
    How many processors this process may use.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@attrs.define
class Lane:
    """
    Runs blocking calls on `threads` threads; at most `queue_limit` more may wait for one.

    None that finds no thread free waits longer than `wait_seconds`, if that is given: then it is
    refused, and never begun. Beyond as many as there are `processors` nobody is helped.
    """

    name: str
    threads: int
    queue_limit: int
    wait_seconds: float | None = None
    processors: int = attrs.field(factory=_processors)
    _under_way: int = attrs.field(default=0, init=False)
    _helping: int = attrs.field(default=0, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)
    _executor: ThreadPoolExecutor = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix=f"sft-{self.name}")

    async def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Run the call on a thread of this lane; `Busy` if too many wait already, or it waits too long.
        """
        if self._under_way >= self.threads + self.queue_limit:
            raise Busy(f"lane {self.name!r} is full")
        return await self._run(partial(call, *args, **kwargs), self.wait_seconds)

    async def insist(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Run the call however many wait: for cleaning up, which must not be refused.

        Whoever is cancelled while the call runs is told so when it has ended: a call that has
        begun is never left behind working on things that its caller takes for finished.
        """
        return await self._run(partial(call, *args, **kwargs), None)

    def help(self, call: Callable[[], T]) -> Future[T] | None:
        """
        Have an idle thread run a part of another one's work; None if there is none. For any thread.

        Nor is there help once every processor has a call: it would take from others what it gives.
        Whoever needs the result may find that it has not been begun, and should take it back then
        (`cancel`) and do it: so nobody waits for a thread that waits.
        """
        with self._lock:
            if self._under_way + self._helping >= min(self.threads, self.processors):
                return None
            self._helping += 1
        try:
            helping = self._queued(call)
        except Busy:
            self._helped()
            return None
        helping.add_done_callback(self._helped)
        return helping

    def _helped(self, _: object = None) -> None:
        with self._lock:
            self._helping -= 1

    def _queued(self, call: Callable[[], T]) -> Future[T]:
        """
        Have a thread run the call when one is free; `Busy` if the lane is closed or the system gives no thread.

        Then it is never run: the executor queues a call before it starts a thread for it, and keeps
        the call if that fails, so that another thread would come to it later.
        """
        queued: Future[T] = Future()
        try:
            running = self._executor.submit(_run, call, queued)
        except RuntimeError as error:
            if queued.cancel():
                raise Busy(f"lane {self.name!r} has no thread: {error}") from None
        else:
            # By `close`, which knows of its own future only.
            running.add_done_callback(lambda done: done.cancelled() and queued.cancel())
        return queued

    async def _run(self, call: Callable[[], T], wait_seconds: float | None) -> T:
        self._under_way += 1
        try:
            return await self._ended(self._queued(call), wait_seconds)
        finally:
            self._under_way -= 1

    async def _ended(self, queued: Future[T], wait_seconds: float | None) -> T:
        future = asyncio.wrap_future(queued)
        try:
            if wait_seconds is not None and self._under_way + self._helping > self.threads:
                await asyncio.wait([future], timeout=wait_seconds)
                # A call that has begun cannot be taken back, and is waited for.
                if not future.done() and queued.cancel():
                    raise Busy(f"lane {self.name!r} had no thread free in time")
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await _over(future)
            raise

    def close(self) -> None:
        """
        Wait for the calls under way and end the threads.
        """
        self._executor.shutdown(wait=True, cancel_futures=True)


def _run(call: Callable[[], T], queued: Future[T]) -> None:
    """
    Run a call, unless it was taken back, and tell its outcome.
    """
    try:
        if queued.set_running_or_notify_cancel():
            queued.set_result(call())
    except BaseException as error:  # noqa: BLE001 (whatever it is, it is for whoever asked)
        queued.set_exception(error)
    finally:
        # The error's traceback keeps this frame, which must not keep the error, or what the call holds.
        del call, queued


async def _over(future: asyncio.Future[T]) -> None:
    """
    Wait until the future is done, whatever comes; its outcome no longer matters to anybody.
    """
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue
    if not future.cancelled():
        future.exception()


class Lanes:
    """
    One lane a kind of work: `control` for rows, `hashing` for passwords, `bytes` for the blob store.

    So a store that hangs holds up nobody who does not need it. What transfers may have beside
    threads, `limits` says.
    """

    def __init__(
        self,
        *,
        control_threads: int,
        transfer_threads: int,
        hash_threads: int,
        hash_wait_seconds: float,
        queue_limit: int,
        queue_wait_seconds: float,
        limits: Limits,
    ) -> None:
        self.control = Lane("control", control_threads, queue_limit, queue_wait_seconds)
        self.hashing = Lane("hashing", hash_threads, queue_limit, hash_wait_seconds)
        self.bytes = Lane("bytes", transfer_threads, queue_limit, queue_wait_seconds)
        self.limits = limits
        self.retries = Retries(self.bytes.insist)

    def close(self) -> None:
        """
        End every lane.
        """
        for lane in (self.control, self.hashing, self.bytes):
            lane.close()
