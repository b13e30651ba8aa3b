"""
Buffers for parts: as large as what has come, not as what was announced.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import Final

import attrs

from sft_core.errors import Busy
from sft_http.concurrency.memory_budgets import LEAST_BUFFER, Memory

_GROWTH: Final = 4
"""How many times as much a full buffer may hold next: so seldom somebody is asked for memory."""
_NOTHING: Final = memoryview(b"")


def _pages(size: int) -> memoryview:
    """
    Room for so many bytes, of which the system gives each page when it is first written to.

    `Busy` if it has none. They come from the system and go back to it, and not to the heap of the C library: there they
    would leave holes that small things settle in, and the heap of a worker would grow by the hour.
    """
    if not size:
        return _NOTHING
    try:
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise Busy(f"the system has no memory for a part: {error.strerror}") from None
    # Where huge pages are for all, a byte would take two megabytes; a kernel without them knows no such advice.
    with suppress(AttributeError, OSError):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return memoryview(pages)


@attrs.define
class PartBuffer:
    """
    A part of a file that is being gathered, of at most `limit` bytes.

    It takes more memory as it fills, as long as there is some; when there is none it is full before
    it has its size, and the part is a shorter one.
    """

    _memory: Memory
    _limit: int
    _bytes: memoryview = attrs.field(repr=False)
    _taken: int
    _filled: int = attrs.field(default=0, init=False)
    _may_grow: bool = attrs.field(default=True, init=False)

    @classmethod
    def only(cls, memory: Memory, limit: int) -> PartBuffer:
        """
        The one buffer of an upload: a small one is always to be had, unless the system has no memory (`Busy`).
        """
        pages, least = _pages(limit), min(LEAST_BUFFER, limit)
        memory.insist(least)
        return cls(memory, limit, pages, least)

    @classmethod
    def beside_another(cls, memory: Memory, limit: int) -> PartBuffer | None:
        """
        A buffer to fill while the one before is being stored; None if there is no memory for it.
        """
        try:
            pages, least = _pages(limit), min(LEAST_BUFFER, limit)
        except Busy:
            return None
        return cls(memory, limit, pages, least) if memory.take(least) else None

    @property
    def is_full(self) -> bool:
        """
        Whether nothing more fits, now or later.
        """
        return self._filled == self._taken and not (self._may_grow and self._filled < self._limit)

    @property
    def content(self) -> memoryview:
        """
        What has been gathered.
        """
        return self._bytes[: self._filled]

    def add(self, piece: memoryview) -> int:
        """
        Take in as much of a piece as fits; returns how many bytes that was.
        """
        room = self._taken - self._filled
        if room < len(piece) and self._may_grow:
            self._grow(self._filled + len(piece))
            room = self._taken - self._filled
        count = min(room, len(piece))
        self._bytes[self._filled : self._filled + count] = piece[:count]
        self._filled += count
        return count

    def _grow(self, wanted: int) -> None:
        size = min(self._limit, max(_GROWTH * self._taken, wanted))
        self._may_grow = size > self._taken and self._memory.take(size - self._taken)
        if self._may_grow:
            self._taken = size

    def clear(self) -> None:
        """
        Begin the next part in what the last one has left.
        """
        self._filled, self._may_grow = 0, True

    def release(self) -> None:
        """
        Give the memory back; what has been gathered is gone.
        """
        self._memory.give_back(self._taken)
        # Let go of, not closed: whoever still looks at a part that failed may hold a view of it.
        self._bytes, self._taken, self._filled = _NOTHING, 0, 0
