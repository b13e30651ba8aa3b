"""
A body regrouped into parts, which are stored while more of it arrives.

There are two buffers of a part's size: while a thread encrypts what is in one, the event loop fills the other. A part
whose bytes are all encrypted needs its buffer no more, however long the store takes. While no buffer is free the event
loop does not read, and TCP slows the client down.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Coroutine
from typing import Any, Final, Protocol

import attrs

from sft_http.concurrency.memory_budgets import MemoryBudget
from sft_http.transfers.part_buffer import PartBuffer

StoreCoroutine = Coroutine[Any, Any, None]

_BUFFERS: Final = 2


class PartSink(Protocol):
    """
    Stores the parts of a body, one after the other or several at once.
    """

    @property
    def concurrency(self) -> int:
        """
        How many parts are stored at the same time, at most.
        """
        ...

    async def submit(
        self, plaintext: memoryview, *, on_encrypted: Callable[[], object], may_reject: bool
    ) -> StoreCoroutine:
        """
        Allocate the next part; the coroutine that is returned stores it, and is awaited in any case.

        `on_encrypted` may be called, on the event loop, once the plaintext's buffer may be reused. A part that
        `may_reject` raises `Busy` if no thread is free in time; others wait without a limit.
        """
        ...


@attrs.define(eq=False)
class _Slot:
    """
    A buffer, and whether the content that it was last handed over with is no longer needed.
    """

    buffer: PartBuffer
    is_free: asyncio.Event = attrs.field(factory=asyncio.Event)

    def hand_over(self) -> Callable[[], None]:
        """
        Mark the buffer as busy until the returned callable, which belongs to this content alone, is called.
        """
        self.is_free = asyncio.Event()
        return self.is_free.set


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
    _keeps_received: bool = attrs.field(default=False, kw_only=True)
    _buffers: deque[_Slot] = attrs.field(factory=deque, init=False)
    """The one that fills first, and the one that will be free next last."""
    _is_filling: bool = attrs.field(default=False, init=False)
    _tasks: deque[asyncio.Task[None]] = attrs.field(factory=deque, init=False)
    _has_begun: bool = attrs.field(default=False, init=False)

    async def run(self, stream: AsyncIterable[bytes]) -> None:
        """
        Store the whole stream; when the call returns, every part is durable.
        """
        try:
            await self._fill(stream)
            await self._submit_part()
            await self._wait_until_at_most(0)
        finally:
            try:
                # A part that is being stored must have ended before the upload is aborted.
                await asyncio.gather(*self._tasks, return_exceptions=True)
            finally:
                # Also if this is cancelled: the cancellation, too, is raised once all of them have ended.
                for slot in self._buffers:
                    slot.buffer.release()

    async def _fill(self, stream: AsyncIterable[bytes]) -> None:
        total = 0
        pieces = aiter(stream)
        while True:
            try:
                piece = await anext(pieces, None)
                if piece is None:
                    break
                total += len(piece)
                self._check_size(total)
            except BaseException:
                if self._keeps_received:
                    await self._submit_part()
                    await self._wait_until_at_most(0)
                raise
            rest = memoryview(piece)
            while rest:
                if not self._is_filling:
                    await self._next_buffer()
                buffer = self._buffers[0].buffer
                rest = rest[buffer.add(rest) :]
                if buffer.is_full:
                    await self._submit_part()

    async def _next_buffer(self) -> None:
        """
        Put a free buffer first: a new one while there are fewer than two and memory is left for it.
        """
        new = None
        if not self._buffers:
            new = PartBuffer.required(self._memory, self._part_size)
        elif len(self._buffers) < _BUFFERS:
            new = PartBuffer.optional(self._memory, self._part_size)
        if new is not None:
            self._buffers.appendleft(_Slot(new))
        else:
            self._buffers.rotate(1)
            await self._buffers[0].is_free.wait()
            self._buffers[0].buffer.clear()
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
        slot = self._buffers[0]
        on_encrypted = slot.hand_over()
        stored = await self._sink.submit(slot.buffer.data, on_encrypted=on_encrypted, may_reject=not self._has_begun)
        self._has_begun = True
        self._tasks.append(asyncio.create_task(stored))
        self._tasks[-1].add_done_callback(lambda _: on_encrypted())

    async def _wait_until_at_most(self, count: int) -> None:
        """
        Wait until no more than `count` parts are being stored; raises the first error of one.
        """
        while len(self._tasks) > count:
            first = self._tasks[0]
            # Not the task itself, which would be cancelled with its waiter: received bytes are kept, and a task that
            # has not begun could never signal its end to those after it.
            await asyncio.wait([first])
            first.result()
            self._tasks.popleft()
