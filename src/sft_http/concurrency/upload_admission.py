"""
Places for uploads: so many are received at once, each upload by one request.

All of it belongs to the event loop's thread, so nothing here needs a lock.
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
    One request in a place, which it shares for a moment with those that it overtakes, or that overtake it.
    """

    _beside: set[Stay]
    _until: asyncio.Timeout
    _wait_seconds: float
    _is_over: bool = attrs.field(default=False, init=False)
    number: int = attrs.field(default=0, init=False)
    """Which writer of the upload it is; the greatest has it."""
    has_left: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set when nothing of it is under way any more."""

    async def overtake(self, number: int) -> None:
        """
        Go on as the writer of this number: earlier ones are ended at their next wait, and waited for.

        `UploadTakenOver` if a later one is there already, `Busy` if an earlier one does not end in time.
        """
        if any(other.number > number for other in self._beside):
            raise UploadTakenOver
        # One of them may be waiting here itself: then those before it are still there, too.
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
            raise Busy("the request that had the upload before did not end in time") from None

    def end(self) -> None:
        """
        Cut it off at its next wait: it has been overtaken.
        """
        if not self._is_over:
            self._is_over = True
            self._until.reschedule(asyncio.get_running_loop().time())

    def leave(self) -> None:
        """
        Be overtaken no more, and let those who wait for it go on.
        """
        self._is_over = True
        self._beside.discard(self)
        self.has_left.set()


@attrs.define(eq=False)
class _Place:
    """
    A place that is taken: by how many requests, and who of them has had the upload.
    """

    requests: int = 0
    writers: set[Stay] = attrs.field(factory=set)


@attrs.define
class UploadPlaces:
    """
    So many bodies of files are received at once, `limit` in all and `user_limit` of one user.

    One more waits in turn for a place, for `wait_seconds` at most, and before its body is read.
    Who waits counts for the user, so that nobody fills the queue for others.

    Requests that go on with one upload have one place together, so that whoever comes to do better
    than one that hangs is not refused because of it. Only the latest of them reads its body.
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
        return Slots("place for an upload", self.limit, self.wait_seconds)

    @asynccontextmanager
    async def taken_by(self, user: UserId, upload: FileId | None = None) -> AsyncIterator[Stay]:
        """
        Hold a place for as long as the block runs; `TooManyUploads` or `Busy` if there is none.

        `UploadTakenOver` comes out of the block of whoever is overtaken at this user's `upload`.
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
                # Another one for the same upload has come in meanwhile.
                self._leave(user)
            else:
                self._places[key] = _Place()
        return self._places[key]

    async def _enter(self, user: UserId) -> None:
        if self._of_user[user] >= self.user_limit:
            raise TooManyUploads
        if self._under_way >= self.limit + self.queue_limit:
            raise Busy("too many uploads wait already")
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
