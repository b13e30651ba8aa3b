"""
Buffers for parts, which grow with the bytes received and not with the size announced.
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import attrs

from sft_core.errors import Busy
from sft_http.concurrency.memory_budgets import MIN_BUFFER_BYTES, MemoryBudget

_GROWTH: Final = 4
"""The factor by which a full buffer grows: memory is requested seldom."""


def _allocate_pages(size: int) -> memoryview:
    """
    Map `size` bytes; the system allocates each page on its first write.

    They are returned to the system and not to the heap of the C library, where they would leave holes that small
    objects fill: the heap of a worker would grow by the hour. Raises `Busy` if the system has no memory.
    """
    try:
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise Busy(f"the system has no memory for a part: {error.strerror}") from None
    # Where huge pages are always on, a byte would take two megabytes; a kernel without them rejects the advice.
    with suppress(AttributeError, OSError):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return memoryview(pages)


@attrs.define(eq=False)
class PartBuffer:
    """
    The buffer of one part, of at most `limit` bytes, and at least one.

    It takes more memory as it fills, while the budget has some; without, it is full before it has its size, and the
    part is a shorter one.
    """

    _memory: MemoryBudget
    _limit: int
    _bytes: memoryview = attrs.field(repr=False)
    _capacity: int
    _filled: int = attrs.field(default=0, init=False)
    _may_grow: bool = attrs.field(default=True, init=False)
    _is_free: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    @classmethod
    def required(cls, memory: MemoryBudget, limit: int) -> PartBuffer:
        """
        The first buffer of an upload; a small one is always available.

        Raises `Busy` if the system has no memory.
        """
        pages, smallest = _allocate_pages(limit), min(MIN_BUFFER_BYTES, limit)
        memory.acquire_always(smallest)
        return cls(memory, limit, pages, smallest)

    @classmethod
    def optional(cls, memory: MemoryBudget, limit: int) -> PartBuffer | None:
        """
        A second buffer, to fill while the first is stored; None if memory is short.
        """
        try:
            pages, smallest = _allocate_pages(limit), min(MIN_BUFFER_BYTES, limit)
        except Busy:
            return None
        return cls(memory, limit, pages, smallest) if memory.try_acquire(smallest) else None

    @property
    def is_full(self) -> bool:
        """
        Whether nothing more fits, now or later.
        """
        return self._filled == self._capacity and not (self._may_grow and self._filled < self._limit)

    @property
    def data(self) -> memoryview:
        """
        The bytes added so far.
        """
        return self._bytes[: self._filled]

    def add(self, piece: memoryview) -> int:
        """
        Add as much of a piece as fits; returns how many bytes that was.
        """
        needed = self._filled + len(piece)
        if self._capacity < needed and self._may_grow:
            size = min(self._limit, max(_GROWTH * self._capacity, needed))
            self._may_grow = size > self._capacity and self._memory.try_acquire(size - self._capacity)
            self._capacity = size if self._may_grow else self._capacity
        count = min(self._capacity - self._filled, len(piece))
        self._bytes[self._filled : self._filled + count] = piece[:count]
        self._filled += count
        return count

    def hand_over(self) -> Callable[[], None]:
        """
        Mark the buffer as busy; the returned callable frees it, for this content only.
        """
        self._is_free = asyncio.Event()
        return self._is_free.set

    async def reuse(self) -> None:
        """
        Wait until the handed-over content is no longer needed; empty the buffer, keeping its memory.
        """
        await self._is_free.wait()
        self._filled, self._may_grow = 0, True

    def release(self) -> None:
        """
        Release the memory; the content is lost.
        """
        self._memory.release(self._capacity)
        # Dropped, not closed: the traceback of a part that failed may hold a view of it.
        self._bytes, self._capacity, self._filled = memoryview(b""), 0, 0
