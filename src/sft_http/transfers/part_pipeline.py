"""
A body regrouped into parts, which are stored while more of it arrives.

There are two buffers of a part's size: while a thread encrypts what is in one, the event loop fills the other. A part
whose bytes are all encrypted needs its buffer no more, however long the store takes. While no buffer is free the event
loop does not read, and TCP slows the client down.

Blob I/O and encryption run on the transfer pool, transactions on the database pool, so that a store that hangs delays
no caller that does not need it, and a slow database blocks no thread of a transfer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import attrs

from sft_core.vault.model import Part
from sft_core.vault.use_cases import PartSlot, StorePart, UploadSession
from sft_http.concurrency.memory_budgets import MemoryBudget
from sft_http.concurrency.thread_pools import BoundedThreadPool, ThreadPools
from sft_http.transfers.part_buffer import PartBuffer

T = TypeVar("T")
StoreCoroutine = Coroutine[Any, Any, object]

_BUFFERS: Final = 2


async def run_in(pool: BoundedThreadPool, call: Callable[[], T], *, may_reject: bool) -> T:
    """
    Run a call in a pool, without a limit on its wait unless `may_reject`.
    """
    return await (pool(call) if may_reject else pool.run_without_limit(call))


class PartSink(Protocol):
    """
    Stores the parts of a body, at most `concurrency` of them at the same time.
    """

    concurrency: int

    async def submit(
        self, plaintext: memoryview, *, on_encrypted: Callable[[], object], may_reject: bool
    ) -> StoreCoroutine:
        """
        Allocate the next part; return a coroutine that stores it and is always awaited.

        `on_encrypted` may be called, on the event loop, once the plaintext's buffer may be reused. A part that
        `may_reject` raises `Busy` if no thread is free in time; others wait without a limit.
        """
        ...


@attrs.define
class SequentialSink:
    """
    Implements `PartSink` by a call for each part, on the transfer pool.
    """

    _pools: ThreadPools
    _call: Callable[[memoryview], object]
    concurrency: int = attrs.field(default=1, init=False)

    async def submit(
        self, plaintext: memoryview, *, on_encrypted: Callable[[], object], may_reject: bool
    ) -> StoreCoroutine:
        del on_encrypted
        return run_in(self._pools.transfer, partial(self._call, plaintext), may_reject=may_reject)


@attrs.define
class ConcurrentSink:
    """
    Implements `PartSink` for an upload session: encrypts one part while another becomes durable.

    Each part is accepted after the one before it, so that the upload never has a gap. With a `digest`, which is given
    the plaintext of every part in order, there is one part at a time.
    """

    _pools: ThreadPools
    _store_part: StorePart
    _session: UploadSession
    _digest: Callable[[memoryview], object] | None = None
    concurrency: int = attrs.field(init=False)
    _last: PartSlot | None = attrs.field(default=None, init=False)
    _last_accepted: asyncio.Event | None = attrs.field(default=None, init=False)

    @concurrency.default
    def _default_concurrency(self) -> int:
        return 2 if self._digest is None else 1

    async def submit(
        self, plaintext: memoryview, *, on_encrypted: Callable[[], object], may_reject: bool
    ) -> StoreCoroutine:
        slot = self._store_part.allocate(self._session, len(plaintext), after=self._last)
        if not self._store_part.is_reserved(self._session, slot):
            reserve = partial(self._store_part.reserve, self._session, slot)
            await run_in(self._pools.database, reserve, may_reject=may_reject)
        before, accepted = self._last_accepted, asyncio.Event()
        self._last, self._last_accepted = slot, accepted
        signal = partial(asyncio.get_running_loop().call_soon_threadsafe, on_encrypted)

        def put() -> Part:
            if self._digest is not None:
                self._digest(plaintext)
            return self._store_part.put(self._session, slot, plaintext, on_encrypted=signal)

        return self._store(put, before, accepted, may_reject=may_reject)

    async def complete(self) -> None:
        """
        Store the empty part of a file without a byte.
        """
        if self._session.parts == 0:
            await (await self.submit(memoryview(b""), on_encrypted=lambda: None, may_reject=False))

    async def _store(
        self, put: Callable[[], Part], before: asyncio.Event | None, accepted: asyncio.Event, *, may_reject: bool
    ) -> None:
        stored: list[Part] = []
        try:
            # Appended on the pool's thread: what a task that is cancelled meanwhile has stored counts all the same.
            await run_in(self._pools.transfer, lambda: stored.append(put()), may_reject=may_reject)
        finally:
            # Also if it failed: the parts before it may be due, and a part after a gap becomes an orphan.
            try:
                if before is not None:
                    await before.wait()
                is_followed, part = self._last_accepted is not accepted, next(iter(stored), None)
                accept = partial(self._store_part.accept, self._session, part, is_followed=is_followed)
                if self._session.is_persisted:
                    await self.in_database(accept)
                else:
                    # Without a row there is nothing to ask the database for.
                    accept()
            finally:
                accepted.set()

    async def in_database(self, step: Callable[[], None]) -> None:
        """
        Run a step on the database pool, then delete its orphans on the transfer pool.
        """
        try:
            await self._pools.database.run_without_limit(step)
        finally:
            if self._session.orphans:
                await self._pools.transfer.run_without_limit(self._store_part.delete_orphans, self._session)


@attrs.define
class PartPipeline:
    """
    Regroups what arrives into parts, and has them stored while the next one fills.

    `check_size` raises if the upload may not have so many bytes. With `keeps_received` the bytes that arrived before a
    stream broke off are stored as a last, shorter part before its error is raised; without it they are dropped.
    """

    _sink: PartSink
    _memory: MemoryBudget
    _check_size: Callable[[int], None] = attrs.field(kw_only=True)
    _part_size: int = attrs.field(kw_only=True)
    _announced_size: int | None = attrs.field(default=None, kw_only=True)
    """The buffers are no larger: one for megabytes costs more than a small file does."""
    _keeps_received: bool = attrs.field(default=False, kw_only=True)
    _buffers: deque[PartBuffer] = attrs.field(factory=deque, init=False)
    """The one that fills first, and the one that will be free next last."""
    _is_filling: bool = attrs.field(default=False, init=False)
    _tasks: deque[asyncio.Task[object]] = attrs.field(factory=deque, init=False)
    _has_begun: bool = attrs.field(default=False, init=False)

    async def run(self, stream: AsyncIterable[bytes], *, on_end: Callable[[int], object] = lambda _: None) -> None:
        """
        Store the whole stream; when the call returns, every part is durable.

        `on_end` is called with the stream's size once all of it has arrived, before the last part is stored.
        """
        try:
            on_end(await self._fill(stream))
            await self._finish()
        finally:
            try:
                # A part that is being stored must have ended before the upload is aborted.
                await asyncio.gather(*self._tasks, return_exceptions=True)
            finally:
                # Also if this is cancelled: the cancellation, too, is raised once all of them have ended.
                for buffer in self._buffers:
                    buffer.release()

    async def _finish(self) -> None:
        await self._submit_part()
        await self._wait_until_at_most(0)

    async def _fill(self, stream: AsyncIterable[bytes]) -> int:
        total = 0
        pieces = aiter(stream)
        while True:
            try:
                piece = await anext(pieces, None)
                if piece is None:
                    return total
                total += len(piece)
                self._check_size(total)
            except BaseException:
                if self._keeps_received:
                    await self._finish()
                raise
            rest = memoryview(piece)
            while rest:
                if not self._is_filling:
                    await self._next_buffer()
                buffer = self._buffers[0]
                rest = rest[buffer.add(rest) :]
                if buffer.is_full:
                    await self._submit_part()

    async def _next_buffer(self) -> None:
        """
        Put a free buffer first; allocate a second one only if memory is left.
        """
        size = self._part_size if self._announced_size is None else max(1, min(self._part_size, self._announced_size))
        new = None
        if not self._buffers:
            new = PartBuffer.required(self._memory, size)
        elif len(self._buffers) < _BUFFERS:
            new = PartBuffer.optional(self._memory, size)
        if new is not None:
            self._buffers.appendleft(new)
        else:
            self._buffers.rotate(1)
            await self._buffers[0].reuse()
        self._is_filling = True

    async def _submit_part(self) -> None:
        """
        Begin to store the buffer's content once fewer than `concurrency` parts are being stored.

        Only the first part may be rejected: during those after it the client waits, and what it has sent is not dropped
        because the service is busy.
        """
        if not self._is_filling:
            return
        self._is_filling = False
        await self._wait_until_at_most(self._sink.concurrency - 1)
        buffer = self._buffers[0]
        on_encrypted = buffer.hand_over()
        stored = await self._sink.submit(buffer.data, on_encrypted=on_encrypted, may_reject=not self._has_begun)
        self._has_begun = True
        self._tasks.append(asyncio.create_task(stored))
        self._tasks[-1].add_done_callback(lambda _: on_encrypted())

    async def _wait_until_at_most(self, count: int) -> None:
        """
        Wait until at most `count` parts are being stored; raise the first error.
        """
        while len(self._tasks) > count:
            first = self._tasks[0]
            # Not the task itself, which would be cancelled with its waiter: received bytes are kept, and a task that
            # has not begun could never signal its end to those after it.
            await asyncio.wait([first])
            first.result()
            self._tasks.popleft()
