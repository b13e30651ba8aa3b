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
from sft_http.concurrency.semaphore import Slots
from sft_http.errors import TooManyUploads


@attrs.define(eq=False)
class Stay:
    """
    A request's permit to receive an upload; a later request can preempt it.
    """

    _beside: set[Stay]
    _until: asyncio.Timeout
    _wait_seconds: float
    _is_over: bool = attrs.field(default=False, init=False)
    number: int = attrs.field(default=0, init=False)
    """The fencing token of this writer; the greatest one owns the upload."""
    has_left: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set when the request has no operation in progress."""

    async def overtake(self, number: int) -> None:
        """
        Become the writer with this fencing token.

        Earlier writers are cancelled at their next wait and awaited.

        Raises:
            UploadTakenOver: a writer with a greater fencing token exists.
            Busy: an earlier writer does not end within the time limit.
        """
        if any(other.number > number for other in self._beside):
            raise UploadTakenOver
        # An earlier writer may itself be waiting here, so the writers before it are still in the set.
        earlier = list(self._beside)
        self.number = number
        self._beside.add(self)
        for other in earlier:
            other.end()
        try:
            async with asyncio.timeout(self._wait_seconds):
                for other in earlier:
                    await other.has_left.wait()
        except TimeoutError:
            raise Busy("the previous request on this upload did not end in time") from None

    def end(self) -> None:
        """
        Cancel this request at its next wait, because a later writer has preempted it.
        """
        if not self._is_over:
            self._is_over = True
            self._until.reschedule(asyncio.get_running_loop().time())

    def leave(self) -> None:
        """
        End the permit, and let the requests that wait for it continue.
        """
        self._is_over = True
        self._beside.discard(self)
        self.has_left.set()


@attrs.define(eq=False)
class _Place:
    """
    One admitted upload: the number of its requests, and their permits that have become writers.
    """

    requests: int = 0
    writers: set[Stay] = attrs.field(factory=set)


@attrs.define
class UploadPlaces:
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
    _of_user: Counter[UserId] = attrs.field(factory=Counter, init=False)
    _places: dict[object, _Place] = attrs.field(factory=dict, init=False)
    _free: Slots = attrs.field(init=False, repr=False)

    @_free.default
    def _all_of_them(self) -> Slots:
        return Slots("upload permit", self.limit, self.wait_seconds)

    @asynccontextmanager
    async def taken_by(self, user: UserId, upload: FileId | None = None) -> AsyncIterator[Stay]:
        """
        Hold a permit while the block runs.

        Raises:
            TooManyUploads: the user has the maximum number of uploads in progress.
            Busy: the queue is full, or no upload ended in time.
            UploadTakenOver: from within the block, when a later request preempts this one at the same `upload`.
        """
        key = object() if upload is None else (user, upload)
        place = await self._entered(user, key)
        place.requests += 1
        try:
            async with _stay(place.writers, self.wait_seconds) as stay:
                yield stay
        finally:
            place.requests -= 1
            if not place.requests:
                del self._places[key]
                self._leave(user)

    async def _entered(self, user: UserId, key: object) -> _Place:
        if key not in self._places:
            await self._enter(user)
            if key in self._places:
                # Another request for the same upload was admitted during the wait.
                self._leave(user)
            else:
                self._places[key] = _Place()
        return self._places[key]

    async def _enter(self, user: UserId) -> None:
        if self._of_user[user] >= self.user_limit:
            raise TooManyUploads
        if self._under_way >= self.limit + self.queue_limit:
            raise Busy("too many uploads are waiting")
        self._under_way += 1
        self._of_user[user] += 1
        try:
            await self._free.take()
        except BaseException:
            self._discount(user)
            raise

    def _leave(self, user: UserId) -> None:
        self._free.give_back()
        self._discount(user)

    def _discount(self, user: UserId) -> None:
        self._under_way -= 1
        self._of_user[user] -= 1
        if not self._of_user[user]:
            del self._of_user[user]


@asynccontextmanager
async def _stay(beside: set[Stay], wait_seconds: float) -> AsyncIterator[Stay]:
    until = asyncio.timeout(None)
    try:
        async with until:
            stay = Stay(beside, until, wait_seconds)
            try:
                yield stay
            finally:
                stay.leave()
    except TimeoutError:
        if until.expired():
            raise UploadTakenOver from None
        raise
