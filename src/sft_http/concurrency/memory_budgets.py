"""
A worker's limits for transfers: uploads, concatenations, memory for bytes in transit.

Classes that do not say otherwise are not thread-safe: their methods run on the event loop, without locks.
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
"""The bytes that every upload may buffer, even if the budget is used up."""
LEAST_PIECE: Final = 64 << 10
"""The size of a part in that case, in bytes."""


@attrs.define
class Memory:
    """
    A budget of bytes for all buffers of a worker.
    """

    limit: int
    taken: int = attrs.field(default=0, init=False)

    def take(self, count: int) -> bool:
        """
        Reserve `count` bytes if the budget has them left; return whether it did.
        """
        if self.taken + count > self.limit:
            return False
        self.taken += count
        return True

    def insist(self, count: int) -> None:
        """
        Reserve `count` bytes even beyond the budget.

        For the minimum without which a transfer cannot continue.
        """
        self.taken += count

    def give_back(self, count: int) -> None:
        """
        Release reserved bytes.
        """
        self.taken -= count

    @contextmanager
    def lent(self, count: int) -> Iterator[int]:
        """
        Reserve up to `count` bytes while the block runs, and yield the number reserved.

        It is what the budget has left, but at least `LEAST_BUFFER`, or `count` if that is less.
        """
        lent = max(min(count, LEAST_BUFFER), min(count, self.limit - self.taken))
        self.insist(lent)
        try:
            yield lent
        finally:
            self.give_back(lent)


class Droppable(Protocol):
    """
    A reader that can read discarded data again.
    """

    def drop(self) -> None:
        """
        Discard the data that was read ahead.
        """
        ...


@attrs.define
class ReadAhead:
    """
    A budget of `limit` bytes for data that downloads have read and not sent.

    Data that a thread works on is not counted. When the budget is exceeded, the readers that have waited longest
    discard their data. Thread-safe: a reader's data is counted before any other code can run, so no data waits
    uncounted.
    """

    limit: int
    taken: int = attrs.field(default=0, init=False)
    _kept: dict[Droppable, int] = attrs.field(factory=dict, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def has_room(self, count: int) -> bool:
        """
        Whether `count` more bytes fit without discarding data of any reader.
        """
        return self.taken + count <= self.limit

    def keep(self, reader: Droppable, count: int) -> None:
        """
        Count the data of a reader that has none; it may be discarded afterwards.
        """
        with self._lock:
            self._kept[reader] = count
            self.taken += count
            while self.taken > self.limit:
                longest = next(iter(self._kept))
                self.taken -= self._kept.pop(longest)
                # Under the lock: after `take_back` a reader has all of its data or none.
                longest.drop()

    def take_back(self, reader: Droppable) -> None:
        """
        Stop counting a reader's data; it cannot be discarded afterwards.
        """
        with self._lock:
            self.taken -= self._kept.pop(reader, 0)


@attrs.frozen
class Limits:
    """
    The limits of one worker for transfers.
    """

    uploads: UploadPlaces
    concatenations: Slots
    memory: Memory
    read_ahead: ReadAhead

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """
        The limits in the settings.
        """
        memory = settings.uploads.memory_mib << 20
        return cls(
            UploadPlaces(
                limit=settings.uploads.max_concurrent,
                user_limit=settings.uploads.max_per_user,
                queue_limit=settings.server.queue_limit,
                wait_seconds=settings.server.queue_wait_seconds,
            ),
            # The other half of the threads stays free for calls that process little data.
            Slots(
                "concatenation slot", max(1, settings.server.transfer_threads // 2), settings.server.queue_wait_seconds
            ),
            # The minimum of every upload is set aside.
            Memory(memory - (settings.uploads.max_concurrent * MIN_UPLOAD_MEMORY_KIB << 10)),
            ReadAhead(settings.downloads.read_ahead_mib << 20),
        )
