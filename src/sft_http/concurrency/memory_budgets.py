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
from sft_http.concurrency.semaphore import TimedSemaphore
from sft_http.concurrency.upload_admission import UploadAdmission

MIN_BUFFER_BYTES: Final = 64 << 10
"""The bytes that every upload may buffer, even if the budget is used up."""
MIN_PIECE_BYTES: Final = 64 << 10
"""How many bytes of a body a thread receives at once when the budget has no more."""


@attrs.define
class MemoryBudget:
    """
    A budget of bytes for all buffers of a worker.
    """

    limit: int
    in_use: int = attrs.field(default=0, init=False)

    def try_acquire(self, count: int) -> bool:
        """
        Reserve `count` bytes if the budget has them left; return whether it did.
        """
        if self.in_use + count > self.limit:
            return False
        self.in_use += count
        return True

    def acquire_always(self, count: int) -> None:
        """
        Reserve `count` bytes even beyond the budget: the minimum without which a transfer cannot continue.
        """
        self.in_use += count

    def release(self, count: int) -> None:
        self.in_use -= count

    @contextmanager
    def borrow(self, count: int) -> Iterator[int]:
        """
        Reserve up to `count` bytes while the block runs, and yield the number reserved.

        It is what the budget has left, but at least `MIN_BUFFER_BYTES`, or `count` if that is less.
        """
        borrowed = max(min(count, MIN_BUFFER_BYTES), min(count, self.limit - self.in_use))
        self.acquire_always(borrowed)
        try:
            yield borrowed
        finally:
            self.release(borrowed)


class Discardable(Protocol):
    """
    A reader that can discard its read-ahead data and read it again.
    """

    def discard(self) -> None: ...


@attrs.define
class ReadAhead:
    """
    A budget of `limit` bytes for data that downloads have read and not sent.

    Data that a thread works on is not counted. When the budget is exceeded, the readers that have waited longest
    discard their data. Thread-safe: a reader's data is counted before any other code can run, so no data waits
    uncounted.
    """

    limit: int
    in_use: int = attrs.field(default=0, init=False)
    _retained: dict[Discardable, int] = attrs.field(factory=dict, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def fits(self, count: int) -> bool:
        """
        Whether `count` more bytes fit without discarding data of any reader.
        """
        return self.in_use + count <= self.limit

    def retain(self, reader: Discardable, count: int) -> None:
        """
        Count the data of a reader that has none; it may be discarded afterwards.
        """
        with self._lock:
            self._retained[reader] = count
            self.in_use += count
            while self.in_use > self.limit:
                oldest = next(iter(self._retained))
                self.in_use -= self._retained.pop(oldest)
                # Under the lock: after `reclaim` a reader has all of its data or none.
                oldest.discard()

    def reclaim(self, reader: Discardable) -> None:
        """
        Stop counting a reader's data; it cannot be discarded afterwards.
        """
        with self._lock:
            self.in_use -= self._retained.pop(reader, 0)


@attrs.frozen
class TransferLimits:
    """
    The limits of one worker for transfers.
    """

    uploads: UploadAdmission
    concatenations: TimedSemaphore
    memory: MemoryBudget
    read_ahead: ReadAhead

    @classmethod
    def from_settings(cls, settings: Settings) -> TransferLimits:
        uploads, server = settings.uploads, settings.server
        wait_seconds = server.queue_wait_seconds
        return cls(
            UploadAdmission(uploads.max_concurrent, uploads.max_per_user, server.queue_limit, wait_seconds),
            # The other half of the threads stays free for calls that process little data.
            TimedSemaphore("concatenation slot", max(1, server.transfer_threads // 2), wait_seconds),
            # The minimum of every upload is set aside.
            MemoryBudget((uploads.memory_mib << 20) - (uploads.max_concurrent * MIN_UPLOAD_MEMORY_KIB << 10)),
            ReadAhead(settings.downloads.read_ahead_mib << 20),
        )
