"""
Admission of uploads: a limit on uploads in progress, and one writer per upload.

Not thread-safe: all methods run on the event loop, so there are no locks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from sft_core.errors import Busy, UploadTakenOver
from sft_core.values import FileId, UserId
from sft_http.concurrency.semaphore import TimedSemaphore
from sft_http.errors import TooManyUploads


@attrs.define(eq=False)
class UploadPermit:
    """
    A request's permit to receive an upload; a later request can preempt it.
    """

    _writers: set[UploadPermit]
    _timeout: asyncio.Timeout
    _wait_seconds: float
    _is_cancelled: bool = attrs.field(default=False, init=False)
    fencing_token: int = attrs.field(default=0, init=False)
    """The fencing token of this writer; the greatest one owns the upload."""
    released: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set when the request has no operation in progress."""

    async def preempt(self, fencing_token: int) -> None:
        """
        Become the writer with this fencing token.

        Earlier writers are cancelled at their next wait and awaited.

        Raises:
            UploadTakenOver: a writer with a greater fencing token exists.
            Busy: an earlier writer does not end within the time limit.
        """
        if any(other.fencing_token > fencing_token for other in self._writers):
            raise UploadTakenOver
        # An earlier writer may itself be waiting here, so the writers before it are still in the set.
        earlier = list(self._writers)
        self.fencing_token = fencing_token
        self._writers.add(self)
        for other in earlier:
            other.cancel()
        try:
            async with asyncio.timeout(self._wait_seconds):
                for other in earlier:
                    await other.released.wait()
        except TimeoutError:
            raise Busy("the previous request on this upload did not end in time") from None

    def cancel(self) -> None:
        """
        Cancel this request at its next wait, because a later writer has preempted it.
        """
        if not self._is_cancelled:
            self._is_cancelled = True
            self._timeout.reschedule(asyncio.get_running_loop().time())

    def release(self) -> None:
        """
        End the permit, and let the requests that wait for it continue.
        """
        self._is_cancelled = True
        self._writers.discard(self)
        self.released.set()


@attrs.define(eq=False)
class _Slot:
    """
    One admitted upload: the number of its requests, and their permits that have become writers.
    """

    requests: int = 0
    writers: set[UploadPermit] = attrs.field(factory=set)


@attrs.define
class UploadAdmission:
    """
    Admits at most `limit` uploads at a time, and at most `user_limit` of one user.

    A further upload waits in a queue for at most `wait_seconds`, before its body is read. Waiting uploads count
    towards `user_limit`, so that one user cannot fill the queue.

    Requests that continue the same upload count once, so that a client can replace a request that hangs. Only the
    latest of them reads its body.
    """

    limit: int = attrs.field()
    user_limit: int
    queue_limit: int
    wait_seconds: float
    _under_way: int = attrs.field(default=0, init=False)
    _per_user: Counter[UserId] = attrs.field(factory=Counter, init=False)
    _slots: dict[object, _Slot] = attrs.field(factory=dict, init=False)
    _semaphore: TimedSemaphore = attrs.field(init=False, repr=False)

    @_semaphore.default
    def _new_semaphore(self) -> TimedSemaphore:
        return TimedSemaphore("upload permit", self.limit, self.wait_seconds)

    @asynccontextmanager
    async def acquire(self, user: UserId, upload: FileId | None = None) -> AsyncIterator[UploadPermit]:
        """
        Hold a permit while the block runs.

        Raises:
            TooManyUploads: the user has the maximum number of uploads in progress.
            Busy: the queue is full, or no upload ended in time.
            UploadTakenOver: from within the block, when a later request preempts this one at the same `upload`.
        """
        key = object() if upload is None else (user, upload)
        slot = await self._acquire_slot(user, key)
        slot.requests += 1
        try:
            async with _new_permit(slot.writers, self.wait_seconds) as permit:
                yield permit
        finally:
            slot.requests -= 1
            if not slot.requests:
                del self._slots[key]
                self._release(user)

    async def _acquire_slot(self, user: UserId, key: object) -> _Slot:
        if key not in self._slots:
            await self._acquire(user)
            if key in self._slots:
                # Another request for the same upload was admitted during the wait.
                self._release(user)
            else:
                self._slots[key] = _Slot()
        return self._slots[key]

    async def _acquire(self, user: UserId) -> None:
        if self._per_user[user] >= self.user_limit:
            raise TooManyUploads
        if self._under_way >= self.limit + self.queue_limit:
            raise Busy("too many uploads are waiting")
        self._under_way += 1
        self._per_user[user] += 1
        try:
            await self._semaphore.acquire()
        except BaseException:
            self._uncount(user)
            raise

    def _release(self, user: UserId) -> None:
        self._semaphore.release()
        self._uncount(user)

    def _uncount(self, user: UserId) -> None:
        self._under_way -= 1
        self._per_user[user] -= 1
        if not self._per_user[user]:
            del self._per_user[user]


@asynccontextmanager
async def _new_permit(writers: set[UploadPermit], wait_seconds: float) -> AsyncIterator[UploadPermit]:
    timeout = asyncio.timeout(None)
    try:
        async with timeout:
            permit = UploadPermit(writers, timeout, wait_seconds)
            try:
                yield permit
            finally:
                permit.release()
    except TimeoutError:
        if timeout.expired():
            raise UploadTakenOver from None
        raise
