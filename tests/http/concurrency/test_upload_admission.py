"""
Concurrent requests for one upload: the latest one is the writer, and a stalled one does not block it.
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
    async def with_timeout() -> None:
        await asyncio.wait_for(story(), TIMEOUT_SECONDS)

    asyncio.run(with_timeout())


@attrs.define
class Request:
    """
    A request that acquires a permit, holds it until `finish` is set, and may raise an error.
    """

    admission: UploadAdmission
    upload: FileId
    user: UserId = MAYA
    fencing_token: int = 0
    cleanup_done: asyncio.Event | None = None
    started: asyncio.Event = attrs.field(factory=asyncio.Event)
    finish: asyncio.Event = attrs.field(factory=asyncio.Event)
    task: asyncio.Task[None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self.admission.acquire(self.user, self.upload) as permit:
            await permit.preempt(self.fencing_token)
            self.started.set()
            try:
                await self.finish.wait()
            finally:
                if self.cleanup_done is not None:
                    await self.cleanup_done.wait()

    async def until_started(self) -> Request:
        await self.started.wait()
        return self


def admission(*, limit: int = 8, user_limit: int = 8, wait_seconds: float = TIMEOUT_SECONDS) -> UploadAdmission:
    return UploadAdmission(limit=limit, user_limit=user_limit, queue_limit=8, wait_seconds=wait_seconds)


async def are_running(*requests: Request) -> bool:
    """
    Whether none of the requests has ended after 20 iterations of the event loop.
    """
    for _ in range(20):
        await asyncio.sleep(0)
    return not any(request.task.done() for request in requests)


def test_later_request_preempts_a_stalled_one() -> None:
    """At the limit the later one starts, the stalled one ends at once, and both count as one."""

    async def story() -> None:
        some = admission(limit=1, user_limit=1)
        stalled = await Request(some, ONE, fencing_token=1).until_started()
        later = await Request(some, ONE, fencing_token=2).until_started()
        with pytest.raises(UploadTakenOver):
            await stalled.task
        with pytest.raises(TooManyUploads):
            await Request(some, OTHER, fencing_token=1).task
        later.finish.set()
        await later.task
        other = await Request(some, OTHER, fencing_token=1).until_started()
        other.finish.set()
        await other.task
        assert (dict(some._per_user), some._slots) == ({}, {})

    run(story)


def test_request_with_an_older_fencing_token_preempts_no_other() -> None:
    """The fencing token decides which request is the writer, in whatever order the requests arrive."""

    async def story() -> None:
        some = admission(user_limit=1)
        later = await Request(some, ONE, fencing_token=2).until_started()
        with pytest.raises(UploadTakenOver):
            await Request(some, ONE, fencing_token=1).task
        assert await are_running(later)
        later.finish.set()
        await later.task

    run(story)


def test_only_the_latest_of_many_requests_reads() -> None:
    """It waits until all earlier requests have ended, also those that were preempted while they waited."""

    async def story() -> None:
        some, ends = admission(user_limit=1), asyncio.Event()
        slow = await Request(some, ONE, fencing_token=1, cleanup_done=ends).until_started()
        waiting = [Request(some, ONE, fencing_token=number) for number in range(2, 6)]
        assert await are_running(slow, waiting[-1])
        for overtaken in waiting[:-1]:
            with pytest.raises(UploadTakenOver):
                await overtaken.task
        assert not waiting[-1].started.is_set()
        ends.set()
        last = await waiting[-1].until_started()
        assert slow.task.done()
        last.finish.set()
        await last.task
        assert some._per_user.total() == 0

    run(story)


def test_wait_for_a_preempted_request_is_bounded() -> None:
    """If the preempted request does not end in time, the later one is rejected as busy."""

    async def story() -> None:
        some, ends = admission(wait_seconds=0.01), asyncio.Event()
        slow = await Request(some, ONE, fencing_token=1, cleanup_done=ends).until_started()
        with pytest.raises(Busy):
            await Request(some, ONE, fencing_token=2).task
        ends.set()
        with pytest.raises(UploadTakenOver):
            await slow.task

    run(story)


def test_request_of_another_user_for_the_same_upload_needs_its_own_permit() -> None:
    """Naming another user's upload does not bypass the limit."""

    async def story() -> None:
        some = admission(limit=1, wait_seconds=0.01)
        mine = await Request(some, ONE, fencing_token=1).until_started()
        with pytest.raises(Busy):
            await Request(some, ONE, NOOR, fencing_token=2).task
        assert await are_running(mine)
        mine.finish.set()
        await mine.task

    run(story)


def test_two_queued_requests_for_one_upload_share_a_permit() -> None:
    """The second one does not keep a permit of its own from other uploads."""

    async def story() -> None:
        some = admission(limit=2)
        others = [await Request(some, upload, NOOR, fencing_token=1).until_started() for upload in (ONE, OTHER)]
        waiting = [Request(some, ONE, fencing_token=number) for number in (1, 2)]
        assert await are_running(*waiting)
        for other in others:
            other.finish.set()
        later = await waiting[1].until_started()
        with pytest.raises(UploadTakenOver):
            await waiting[0].task
        third = await Request(some, OTHER, NOOR, fencing_token=1).until_started()
        for request in (later, third):
            request.finish.set()
            await request.task
        assert (some._per_user.total(), some._semaphore._semaphore._value) == (0, 2)

    run(story)


# --- over HTTP ---------------------------------------------------------------------------------


@attrs.define
class StalledPatch:
    """
    A PATCH that sends three bytes and then nothing until it is ended.
    """

    service: Edge
    exchange: RecordedExchange = attrs.field(factory=RecordedExchange)
    is_stalled: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def run(self, token: str, upload: str) -> None:
        async def receive() -> dict[str, Any]:
            if not self.exchange.received_bytes:
                self.exchange.received_bytes = 3
                return {"type": "http.request", "body": b"abc", "more_body": True}
            self.is_stalled.set()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            self.exchange.messages.append(message)

        app: Any = self.service.client.app
        await app(scope_of("PATCH", upload, token, 100, headers(0)), receive, send)


def headers(offset: int) -> dict[str, str]:
    return VERSION | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}


def test_stalled_request_does_not_block_the_next(make_edge: Callable[..., Edge]) -> None:
    """At the user's limit a PATCH at the right offset ends the stalled one, which is 409; a wrong offset does not."""
    service = make_edge(MAX_UPLOADS_PER_USER="1")
    token = service.sign_up()
    created = VERSION | {"Upload-Length": "100", "Upload-Metadata": "filename eA=="}
    creation = service.call("POST", "/tus", token=token, headers=created)
    upload = creation.headers["location"].removeprefix(API)

    async def story() -> None:
        stalled = StalledPatch(service)
        stalled_task = asyncio.create_task(stalled.run(token, upload))
        await stalled.is_stalled.wait()
        assert (await patch_in_this_loop(service, token, upload, 7)).body["code"] == "offset-mismatch"
        assert not stalled_task.done()
        response = await patch_in_this_loop(service, token, upload, 0)
        assert (response.status, response.headers["upload-offset"]) == (204, "100")
        await stalled_task
        assert (stalled.exchange.status, stalled.exchange.body["code"]) == (409, "upload-taken-over")

    run(story)
    (file,) = service.call("GET", "/files/", token=token).json
    assert file["file_size"] == 100
    assert keys(service.application) == recorded(service.application)
    assert service.pools.limits.uploads._slots == {}


async def patch_in_this_loop(service: Edge, token: str, upload: str, offset: int) -> RecordedExchange:
    """
    Send the missing bytes by a PATCH on the event loop of the other requests.
    """
    exchange = RecordedExchange()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": bytes(100), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        exchange.messages.append(message)

    app: Any = service.client.app
    await app(scope_of("PATCH", upload, token, 100, headers(offset)), receive, send)
    return exchange
