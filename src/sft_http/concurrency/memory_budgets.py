"""
What a worker gives to transfers at most: places for uploads, turns at a thread, memory for what is on its way.

What is not said to be for threads belongs to the event loop's, and needs no lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import attrs

from sft_adapters.settings import Settings
from sft_adapters.settings.catalogue import MIN_UPLOAD_MEMORY_KIB
from sft_http.concurrency.semaphore import Slots
from sft_http.concurrency.upload_admission import UploadPlaces

LEAST_BUFFER: Final = 64 << 10
"""How many bytes every upload may gather, however little memory is left."""
LEAST_PIECE: Final = 64 << 10
"""How many bytes of it come at once then."""


@attrs.define
class Memory:
    """
    Bytes that buffers may have together.
    """

    limit: int
    taken: int = attrs.field(default=0, init=False)

    def take(self, count: int) -> bool:
        """
        Take so many more bytes if there are as many left; tells whether it did.
        """
        if self.taken + count > self.limit:
            return False
        self.taken += count
        return True

    def insist(self, count: int) -> None:
        """
        Take so many bytes even if there are none left: for the little without which nothing goes on.
        """
        self.taken += count

    def give_back(self, count: int) -> None:
        """
        Let others have what was taken.
        """
        self.taken -= count

    @contextmanager
    def lent(self, count: int) -> Iterator[int]:
        """
        Bytes for as long as the block runs: so many, or what is left of them; a little is always to be had.
        """
        lent = max(min(count, LEAST_BUFFER), min(count, self.limit - self.taken))
        self.insist(lent)
        try:
            yield lent
        finally:
            self.give_back(lent)


class Droppable(Protocol):
    """
    Whoever can do without what was read ahead.
    """

    def drop(self) -> None:
        """
        Forget it.
        """
        ...


@attrs.define
class ReadAhead:
    """
    What downloads have read and not sent, and keep while no thread works on it: `limit` bytes at most.

    What goes beyond makes those that wait longest drop theirs. For all threads: whoever has read
    has it counted before anybody else can run, so that nothing waits uncounted, wherever it waits.
    """

    limit: int
    taken: int = attrs.field(default=0, init=False)
    _kept: dict[Droppable, int] = attrs.field(factory=dict, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def has_room(self, count: int) -> bool:
        """
        Whether so many bytes more would make nobody drop any.
        """
        return self.taken + count <= self.limit

    def keep(self, reader: Droppable, count: int) -> None:
        """
        Count what a reader leaves here, who has nothing here; it may have to drop it from now on.
        """
        with self._lock:
            self._kept[reader] = count
            self.taken += count
            while self.taken > self.limit:
                longest = next(iter(self._kept))
                self.taken -= self._kept.pop(longest)
                # Under the lock: who takes its own back finds all of it or nothing.
                longest.drop()

    def take_back(self, reader: Droppable) -> None:
        """
        Let a reader go on with what it has here, if it has not dropped it: nobody makes it do so any more.
        """
        with self._lock:
            self.taken -= self._kept.pop(reader, 0)


@attrs.frozen
class Limits:
    """
    What one worker gives to transfers.
    """

    uploads: UploadPlaces
    concatenations: Slots
    memory: Memory
    read_ahead: ReadAhead

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """
        The limits that the settings say.
        """
        memory = settings.uploads.memory_mib << 20
        return cls(
            UploadPlaces(
                limit=settings.uploads.max_concurrent,
                user_limit=settings.uploads.max_per_user,
                queue_limit=settings.server.queue_limit,
                wait_seconds=settings.server.queue_wait_seconds,
            ),
            # The other half of the threads is for those who wait for no more than a few bytes.
            Slots("turn", max(1, settings.server.transfer_threads // 2), settings.server.queue_wait_seconds),
            # What every upload may have in any case is set aside.
            Memory(memory - (settings.uploads.max_concurrent * MIN_UPLOAD_MEMORY_KIB << 10)),
            ReadAhead(settings.downloads.read_ahead_mib << 20),
        )
