"""
Requests that go on with one upload: the latest has it, and none that hangs is in its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import attrs
import pytest

from sft_core.errors import Busy, UploadTakenOver
from sft_core.values import FileId, UserId
from sft_http.concurrency.upload_admission import UploadAdmission
from sft_http.errors import TooManyUploads
from support.app.edge import API, Edge
from support.app.exchange import RecordedExchange, scope_of
from support.app.library import TIMEOUT_SECONDS
from support.app.resumable import keys, recorded

MAYA, NOOR = (UserId(UUID(int=number)) for number in (1, 2))
ONE, OTHER = (FileId(UUID(int=number)) for number in (3, 4))
VERSION = {"Tus-Resumable": "1.0.0"}


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        await asyncio.wait_for(story(), TIMEOUT_SECONDS)

    asyncio.run(told())


@attrs.define
class Request:
    """
    A request on its way: it has a place, or it has come to its end with an error or without one.
    """

    admission: UploadAdmission
    upload: FileId
    user: UserId = MAYA
    fencing_token: int = 0
    ends_slowly: asyncio.Event | None = None
    is_at_it: asyncio.Event = attrs.field(factory=asyncio.Event)
    is_over: asyncio.Event = attrs.field(factory=asyncio.Event)
    task: asyncio.Task[None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self.admission.acquire(self.user, self.upload) as permit:
            await permit.preempt(self.fencing_token)
            self.is_at_it.set()
            try:
                await self.is_over.wait()
            finally:
                if self.ends_slowly is not None:
                    await self.ends_slowly.wait()

    async def at_it(self) -> Request:
        await self.is_at_it.wait()
        return self


def admission(*, limit: int = 8, user_limit: int = 8, wait_seconds: float = TIMEOUT_SECONDS) -> UploadAdmission:
    return UploadAdmission(limit=limit, user_limit=user_limit, queue_limit=8, wait_seconds=wait_seconds)


async def is_still(*requests: Request) -> bool:
    """
    Whether none of them has come to its end, after whatever could have been done has been.
    """
    for _ in range(20):
        await asyncio.sleep(0)
    return not any(request.task.done() for request in requests)


def test_a_later_request_takes_the_place_of_one_that_hangs() -> None:
    """It is admitted where every place is taken, the other one ends at once, and both count as one."""

    async def story() -> None:
        some = admission(limit=1, user_limit=1)
        hung = await Request(some, ONE, fencing_token=1).at_it()
        later = await Request(some, ONE, fencing_token=2).at_it()
        with pytest.raises(UploadTakenOver):
            await hung.task
        with pytest.raises(TooManyUploads):
            await Request(some, OTHER, fencing_token=1).task
        later.is_over.set()
        await later.task
        other = await Request(some, OTHER, fencing_token=1).at_it()
        other.is_over.set()
        await other.task
        assert (some._under_way, dict(some._per_user), some._slots) == (0, {}, {})

    run(story)


def test_one_that_was_overtaken_before_it_heard_of_its_turn_ends_nobody() -> None:
    """Who has the upload is what the database says, in whatever order requests learn it."""

    async def story() -> None:
        some = admission(user_limit=1)
        later = await Request(some, ONE, fencing_token=2).at_it()
        with pytest.raises(UploadTakenOver):
            await Request(some, ONE, fencing_token=1).task
        assert await is_still(later)
        later.is_over.set()
        await later.task

    run(story)


def test_only_one_reads_however_many_come() -> None:
    """Each waits until all before it have ended, also those whose own successor did not come to anything."""

    async def story() -> None:
        some, ends = admission(user_limit=1), asyncio.Event()
        slow = await Request(some, ONE, fencing_token=1, ends_slowly=ends).at_it()
        waiting = [Request(some, ONE, fencing_token=number) for number in range(2, 6)]
        assert await is_still(slow, waiting[-1])
        for overtaken in waiting[:-1]:
            with pytest.raises(UploadTakenOver):
                await overtaken.task
        assert not waiting[-1].is_at_it.is_set()
        ends.set()
        last = await waiting[-1].at_it()
        assert slow.task.done()
        last.is_over.set()
        await last.task
        assert some._under_way == 0

    run(story)


def test_one_that_does_not_end_in_time_is_not_waited_for_without_end() -> None:
    """Whoever came to overtake it is told to come again."""

    async def story() -> None:
        some, ends = admission(wait_seconds=0.01), asyncio.Event()
        slow = await Request(some, ONE, fencing_token=1, ends_slowly=ends).at_it()
        with pytest.raises(Busy):
            await Request(some, ONE, fencing_token=2).task
        ends.set()
        with pytest.raises(UploadTakenOver):
            await slow.task

    run(story)


def test_another_users_request_for_the_same_upload_counts_for_itself() -> None:
    """Nobody gets in by naming what is somebody else's."""

    async def story() -> None:
        some = admission(limit=1, wait_seconds=0.01)
        mine = await Request(some, ONE, fencing_token=1).at_it()
        with pytest.raises(Busy):
            await Request(some, ONE, NOOR, fencing_token=2).task
        assert await is_still(mine)
        mine.is_over.set()
        await mine.task

    run(story)


def test_two_that_waited_for_one_place_share_it() -> None:
    """The second does not keep one of its own from somebody else."""

    async def story() -> None:
        some = admission(limit=2)
        others = [await Request(some, upload, NOOR, fencing_token=1).at_it() for upload in (ONE, OTHER)]
        waiting = [Request(some, ONE, fencing_token=number) for number in (1, 2)]
        assert await is_still(*waiting)
        for other in others:
            other.is_over.set()
        later = await waiting[1].at_it()
        with pytest.raises(UploadTakenOver):
            await waiting[0].task
        third = await Request(some, OTHER, NOOR, fencing_token=1).at_it()
        for request in (later, third):
            request.is_over.set()
            await request.task
        assert (some._under_way, some._semaphore._semaphore._value) == (0, 2)

    run(story)


# --- over the edge ---------------------------------------------------------------------------------


@attrs.define
class Hung:
    """
    A PATCH that brings something and then stands still until it is ended.
    """

    service: Edge
    exchange: RecordedExchange = attrs.field(factory=RecordedExchange)
    stands_still: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def run(self, token: str, upload: str) -> None:
        async def receive() -> dict[str, Any]:
            if not self.exchange.received_bytes:
                self.exchange.received_bytes = 3
                return {"type": "http.request", "body": b"abc", "more_body": True}
            self.stands_still.set()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            self.exchange.messages.append(message)

        app: Any = self.service.client.app
        await app(scope_of("PATCH", upload, token, 100, headers(0)), receive, send)


def headers(offset: int) -> dict[str, str]:
    return VERSION | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}


def test_a_request_that_hangs_is_not_in_the_way_of_the_next(make_edge: Callable[..., Edge]) -> None:
    """At the user's limit the right PATCH is taken, the other is 409 at once; a wrong one changes nothing."""
    service = make_edge(MAX_UPLOADS_PER_USER="1")
    token = service.sign_up()
    created = VERSION | {"Upload-Length": "100", "Upload-Metadata": "filename eA=="}
    made = service.call("POST", "/tus", token=token, headers=created)
    upload = made.headers["location"].removeprefix(API)

    async def story() -> None:
        hung = Hung(service)
        hangs = asyncio.create_task(hung.run(token, upload))
        await hung.stands_still.wait()
        assert (await in_this_loop(service, token, upload, 7)).body["code"] == "offset-mismatch"
        assert not hangs.done()
        response = await in_this_loop(service, token, upload, 0)
        assert (response.status, response.headers["upload-offset"]) == (204, "100")
        await hangs
        assert (hung.exchange.status, hung.exchange.body["code"]) == (409, "upload-taken-over")

    run(story)
    (file,) = service.call("GET", "/files/", token=token).json
    assert file["file_size"] == 100
    assert keys(service.application) == recorded(service.application)
    assert service.pools.limits.uploads._slots == {}


async def in_this_loop(service: Edge, token: str, upload: str, offset: int) -> RecordedExchange:
    """
    A PATCH with all that the upload lacks, on the loop that the other requests are on.
    """
    exchange = RecordedExchange()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": bytes(100), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        exchange.messages.append(message)

    app: Any = service.client.app
    await app(scope_of("PATCH", upload, token, 100, headers(offset)), receive, send)
    return exchange
