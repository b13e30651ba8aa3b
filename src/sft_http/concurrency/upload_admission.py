"""
Admission of uploads: a limit on uploads in progress, and one writer per upload.

Not thread-safe: all methods run on the event loop, so there are no locks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

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

    _permits: set[UploadPermit]
    """The permits of all requests that continue the upload."""
    _wait_seconds: float
    timeout: asyncio.Timeout = attrs.field(factory=partial(asyncio.timeout, None), init=False)
    fencing_token: int = attrs.field(default=0, init=False)
    """This writer's fencing token, 0 until `preempt`; the greatest one owns the upload."""
    released: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set when the request has no operation in progress."""

    async def preempt(self, fencing_token: int) -> None:
        """
        Become the writer with this fencing token, after earlier writers have ended.

        They are cancelled, at their next `await`.

        Raises:
            UploadTakenOver: a writer with a greater fencing token exists.
            Busy: an earlier writer does not end within the time limit.
        """
        # An earlier writer may itself be waiting here: the writers before it still have their permits.
        earlier = [permit for permit in self._permits if permit.fencing_token]
        if any(writer.fencing_token > fencing_token for writer in earlier):
            raise UploadTakenOver
        self.fencing_token = fencing_token
        for writer in earlier:
            if writer.timeout.when() is None:
                writer.timeout.reschedule(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(self._wait_seconds):
                for writer in earlier:
                    await writer.released.wait()
        except TimeoutError:
            raise Busy("the previous request on this upload did not end in time") from None


@attrs.define
class UploadAdmission:
    """
    Admits at most `limit` uploads of this process at a time.

    One user may have at most `user_limit` uploads, admitted or queued, so that one user cannot fill the queue. At most
    `queue_limit` uploads wait for up to `wait_seconds` each, before their bodies are read. Requests that continue the
    same upload count once, so that a client can replace a request that hangs; only the latest of these requests reads
    its body.
    """

    limit: int
    user_limit: int
    queue_limit: int
    wait_seconds: float
    _per_user: Counter[UserId] = attrs.field(factory=Counter, init=False)
    _slots: dict[object, set[UploadPermit]] = attrs.field(factory=dict, init=False)
    """The permits of each admitted upload's requests; its last request releases it."""
    _semaphore: TimedSemaphore = attrs.field(init=False, repr=False)

    @_semaphore.default
    def _new_semaphore(self) -> TimedSemaphore:
        return TimedSemaphore("upload permit", self.limit, self.wait_seconds)

    @asynccontextmanager
    async def acquire(self, user: UserId, upload: FileId | None = None) -> AsyncIterator[UploadPermit]:
        """
        Hold a permit while the block runs.

        Raises:
            TooManyUploads: the user has `user_limit` uploads in progress or in the queue.
            Busy: the queue is full, or no upload ended in time.
            UploadTakenOver: from within the block, if a later request preempts this one for the same `upload`.
        """
        key = object() if upload is None else (user, upload)
        permits = await self._acquire_slot(user, key)
        permit = UploadPermit(permits, self.wait_seconds)
        permits.add(permit)
        try:
            async with permit.timeout:
                yield permit
        except TimeoutError:
            if permit.timeout.expired():
                raise UploadTakenOver from None
            raise
        finally:
            permits.remove(permit)
            permit.released.set()
            if not permits:
                del self._slots[key]
                self._release(user)

    async def _acquire_slot(self, user: UserId, key: object) -> set[UploadPermit]:
        if key not in self._slots:
            await self._acquire(user)
            if key in self._slots:
                # Another request for the same upload was admitted during the wait.
                self._release(user)
        return self._slots.setdefault(key, set())

    async def _acquire(self, user: UserId) -> None:
        if self._per_user[user] >= self.user_limit:
            raise TooManyUploads
        if self._per_user.total() >= self.limit + self.queue_limit:
            raise Busy("too many uploads are waiting")
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
        self._per_user[user] -= 1
        if not self._per_user[user]:
            del self._per_user[user]
