"""
Buffers for parts: as large as what has come, not as what was announced.
"""

from __future__ import annotations

from typing import Final

import attrs

from sft_http.limits import LEAST_BUFFER, Memory

_GROWTH: Final = 4
"""How many times as large a full buffer becomes: so little of it is copied before it has its size."""


@attrs.define
class PartBuffer:
    """
    A part of a file that is being gathered, of at most `limit` bytes.

    It grows as it fills, as long as there is memory; when there is none it is full before it has
    its size, and the part is a shorter one.
    """

    _memory: Memory
    _limit: int
    _bytes: bytearray
    _filled: int = attrs.field(default=0, init=False)
    _may_grow: bool = attrs.field(default=True, init=False)

    @classmethod
    def only(cls, memory: Memory, limit: int) -> PartBuffer:
        """
        The one buffer of an upload: a small one is always to be had.
        """
        least = min(LEAST_BUFFER, limit)
        memory.insist(least)
        return cls(memory, limit, bytearray(least))

    @classmethod
    def beside_another(cls, memory: Memory, limit: int) -> PartBuffer | None:
        """
        A buffer to fill while the one before is being stored; None if there is no memory for it.
        """
        least = min(LEAST_BUFFER, limit)
        return cls(memory, limit, bytearray(least)) if memory.take(least) else None

    @property
    def is_full(self) -> bool:
        """
        Whether nothing more fits, now or later.
        """
        return self._filled == len(self._bytes) and not (self._may_grow and self._filled < self._limit)

    @property
    def content(self) -> memoryview:
        """
        What has been gathered.
        """
        return memoryview(self._bytes)[: self._filled]

    def add(self, piece: memoryview) -> int:
        """
        Take in as much of a piece as fits; returns how many bytes that was.
        """
        room = len(self._bytes) - self._filled
        if room < len(piece) and self._may_grow:
            self._grow(self._filled + len(piece))
            room = len(self._bytes) - self._filled
        taken = min(room, len(piece))
        self._bytes[self._filled : self._filled + taken] = piece[:taken]
        self._filled += taken
        return taken

    def _grow(self, wanted: int) -> None:
        held = len(self._bytes)
        size = min(self._limit, max(_GROWTH * held, wanted))
        self._may_grow = size > held and self._memory.take(size - held)
        if self._may_grow:
            grown = bytearray(size)
            grown[: self._filled] = self.content
            self._bytes = grown

    def clear(self) -> None:
        """
        Begin the next part in what the last one has left.
        """
        self._filled, self._may_grow = 0, True

    def release(self) -> None:
        """
        Give the memory back; what has been gathered is gone.
        """
        self._memory.give_back(len(self._bytes))
        self._bytes = bytearray()
        self._filled = 0
