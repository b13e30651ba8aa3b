"""
Bounded thread pools between the event loop and the synchronous core, which blocks.

Each kind of blocking work has a pool of its own: a hundred sign-ins that wait for Argon2 do not delay a listing, a
listing does not delay the bytes of a transfer, and an unresponsive blob store delays only transfers.
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

from sft_adapters.settings import Settings
from sft_core.errors import Busy
from sft_http.concurrency.memory_budgets import TransferLimits
from sft_http.concurrency.retry_queue import RetryQueue

P = ParamSpec("P")
T = TypeVar("T")


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@attrs.define
class BoundedThreadPool:
    """
    Runs blocking calls on `threads` threads; `queue_limit` more may wait, at most `wait_seconds` if given.
    """

    name: str
    threads: int
    queue_limit: int
    wait_seconds: float | None = None
    processors: int = attrs.field(factory=_processors)
    _under_way: int = attrs.field(default=0, init=False)
    _extra_calls: int = attrs.field(default=0, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)
    _executor: ThreadPoolExecutor = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix=f"sft-{self.name}")

    async def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Run the call on a thread.

        Raises `Busy`, and never begins the call, if the queue is full or no thread is free in time.
        """
        if self._under_way >= self.threads + self.queue_limit:
            raise Busy(f"thread pool {self.name!r} is full")
        return await self._run(partial(call, *args, **kwargs), self.wait_seconds)

    async def run_without_limit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Run the call without limits on queue and wait, for clean-up.

        A cancellation takes effect when the call has ended, so that no call continues to work on an object that its
        caller considers finished.
        """
        return await self._run(partial(call, *args, **kwargs), None)

    def try_run(self, call: Callable[[], T]) -> Future[T] | None:
        """
        Run a part of another thread's work on an idle thread, or return None.

        Also None if every one of the `processors` runs a call: one more would slow the others down. A caller that
        needs the result of a call that has not begun should `cancel` it and run it itself, so that no thread waits for
        a waiting thread. Thread-safe.
        """
        with self._lock:
            if self._under_way + self._extra_calls >= min(self.threads, self.processors):
                return None
            self._extra_calls += 1
        try:
            extra_call = self._submit(call)
        except Busy:
            self._finish_extra_call()
            return None
        extra_call.add_done_callback(self._finish_extra_call)
        return extra_call

    def _finish_extra_call(self, _: object = None) -> None:
        with self._lock:
            self._extra_calls -= 1

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        """
        Queue the call for the next free thread.

        Raises `Busy` if the pool is closed or the system starts no thread. The executor queues a call before it starts
        a thread, and keeps the call if that fails. The call is cancelled then, so that no other thread runs it later.
        """
        queued: Future[T] = Future()
        try:
            running = self._executor.submit(_run, call, queued)
        except RuntimeError as error:
            if queued.cancel():
                raise Busy(f"thread pool {self.name!r} has no thread: {error}") from None
        else:
            # `close` cancels only the executor's future.
            running.add_done_callback(lambda done: done.cancelled() and queued.cancel())
        return queued

    async def _run(self, call: Callable[[], T], wait_seconds: float | None) -> T:
        self._under_way += 1
        try:
            queued = self._submit(call)
            future = asyncio.wrap_future(queued)
            try:
                if wait_seconds is not None and self._under_way + self._extra_calls > self.threads:
                    await asyncio.wait([future], timeout=wait_seconds)
                    # A call that has begun cannot be cancelled.
                    if not future.done() and queued.cancel():
                        raise Busy(f"no thread of pool {self.name!r} became free in time")
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                await _wait_until_done(future)
                raise
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """
        Wait for the running calls and end the threads; queued calls are cancelled.
        """
        self._executor.shutdown(wait=True, cancel_futures=True)


def _run(call: Callable[[], T], queued: Future[T]) -> None:
    """
    Run a call, unless it was cancelled, and store its outcome in the future.
    """
    try:
        if queued.set_running_or_notify_cancel():
            queued.set_result(call())
    except BaseException as error:  # noqa: BLE001 (every error belongs to the caller)
        queued.set_exception(error)
    finally:
        # The error's traceback references this frame, which must not reference the error or the call's objects.
        del call, queued


async def _wait_until_done(future: asyncio.Future[T]) -> None:
    """
    Wait until the future is done, despite further cancellations; its outcome is discarded.
    """
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue
    if not future.cancelled():
        future.exception()


class ThreadPools:
    """
    Thread pools for database, password hashing and blob store; `limits` are other limits of transfers.
    """

    def __init__(self, settings: Settings) -> None:
        server, hashing = settings.server, settings.hashing
        limit, seconds = server.queue_limit, server.queue_wait_seconds
        self.database = BoundedThreadPool("database", server.control_threads, limit, seconds)
        self.hashing = BoundedThreadPool("hashing", hashing.concurrency, limit, hashing.wait_seconds)
        self.transfer = BoundedThreadPool("transfer", server.transfer_threads, limit, seconds)
        self.limits = TransferLimits.from_settings(settings)
        self.retry_queue = RetryQueue(self.transfer.run_without_limit)

    def close(self) -> None:
        for pool in (self.database, self.hashing, self.transfer):
            pool.close()
