"""
Parts of one large request that appends to an upload, stored two at once: the recorded parts have no gap.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable

import attrs
import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_adapters.memory.database import MemoryDatabase
from sft_core.application import Application
from sft_core.errors import BlobStoreFull, DatabaseUnavailable
from sft_core.users.model import User
from sft_core.values import FileId
from sft_core.vault.ports import Buffer
from sft_core.vault.use_cases import StorePart
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.transfers.part_pipeline import ConcurrentSink, PartPipeline
from support.app.library import LIGHT, TIMEOUT_SECONDS, FaultyBlobs, LostCommitDatabase, PairwiseBlobs
from support.app.resumable import PART, acquire, asked, found, in_small_parts, keys, manifest, read, recorded

CONTENT = bytes(range(7 * PART - 1))


@pytest.fixture
def sft() -> Application:
    return in_small_parts(memory_application(environ=LIGHT))


def append_rest(
    sft: Application, append: StorePart, pools: ThreadPools, owner: User, upload: FileId, content: bytes = CONTENT
) -> None:
    """
    Append the rest of an upload in one request.
    """
    session = acquire(sft, owner, upload, found(sft, owner, upload).offset)

    async def stream() -> AsyncIterator[bytes]:
        for start in range(session.offset, len(content), 11):
            yield content[start : start + 11]

    body = PartPipeline(
        ConcurrentSink(pools, append, session),
        pools.limits.memory,
        check_size=lambda _: None,
        part_size=PART,
        keeps_received=True,
    )
    asyncio.run(body.run(stream()))


def finishes_with(sft: Application, owner: User, upload: FileId, content: bytes = CONTENT) -> bool:
    sft.vault.finish_upload(owner=owner.id, file_id=upload)
    return read(sft, owner, upload) == content


@pytest.mark.parametrize("size", [PART + 1, 2 * PART, 5 * PART, len(CONTENT)])
@pytest.mark.parametrize("length", ["known", "deferred"])
def test_two_concurrent_parts_make_a_complete_file(
    sft: Application, pools: ThreadPools, maya: User, size: int, length: str
) -> None:
    """A part stored before its predecessor still follows it, and no other blob is stored."""
    blobs = PairwiseBlobs(sft.vault.store_part.blobs, last=(size - 1) // PART)
    upload = sft.vault.create_upload(owner=maya.id, request=asked(size if length == "known" else None)).file.id
    append_rest(sft, attrs.evolve(sft.vault.store_part, blobs=blobs), pools, maya, upload, CONTENT[:size])
    assert blobs.most == 2
    assert found(sft, maya, upload).offset == size
    assert keys(sft) == recorded(sft)
    acquire(sft, maya, upload, size, length=size)
    assert finishes_with(sft, maya, upload, CONTENT[:size])


def test_two_parts_of_a_request_are_recorded_in_one_commit(sft: Application, pools: ThreadPools, maya: User) -> None:
    """A request of two parts needs no second commit: it succeeds though that one would fail."""
    blobs = PairwiseBlobs(sft.vault.store_part.blobs, last=1)
    upload = sft.vault.create_upload(owner=maya.id, request=asked(2 * PART)).file.id
    begin = sft.vault.store_part.begin
    assert isinstance(begin, MemoryDatabase)
    second_fails = LostCommitDatabase(begin, 1, happens=False)
    append_rest(
        sft,
        attrs.evolve(sft.vault.store_part, blobs=blobs, begin=second_fails),
        pools,
        maya,
        upload,
        CONTENT[: 2 * PART],
    )
    assert len(manifest(sft.vault.store_part, upload)) == 2


def test_short_parts_are_merged_into_the_first_part_of_a_request(
    sft: Application, pools: ThreadPools, maya: User
) -> None:
    """Short parts that were stored before the request are merged, as long as all of them fit."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(len(CONTENT))).file.id
    for end in (3, 5):
        session = acquire(sft, maya, upload, found(sft, maya, upload).offset)
        sft.vault.store_part(session, CONTENT[session.offset : end])
    append_rest(sft, sft.vault.store_part, pools, maya, upload)
    assert keys(sft) == recorded(sft)
    assert finishes_with(sft, maya, upload)


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("nth", range(7))
def test_failure_of_any_part_keeps_the_parts_before_it(
    sft: Application, pools: ThreadPools, maya: User, nth: int, *, after_effect: bool
) -> None:
    """The error of the part is raised, and the upload can be resumed from the failed part."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(len(CONTENT))).file.id
    blobs = FaultyBlobs(sft.vault.store_part.blobs, {("put", nth): BlobStoreFull("no room")}, after_effect=after_effect)
    with pytest.raises(BlobStoreFull):
        append_rest(sft, attrs.evolve(sft.vault.store_part, blobs=blobs), pools, maya, upload)
    offset = found(sft, maya, upload).offset
    assert offset % PART == 0
    # Either of two concurrent parts may be the one that fails.
    assert (nth - 1) * PART <= offset <= (nth + 1) * PART
    assert after_effect or keys(sft) == recorded(sft)
    append_rest(sft, sft.vault.store_part, pools, maya, upload)
    assert finishes_with(sft, maya, upload)


@pytest.mark.parametrize("happens", [False, True])
@pytest.mark.parametrize("nth", [0, 1])
def test_lost_commit_response_keeps_the_manifest_consistent(
    sft: Application, pools: ThreadPools, maya: User, nth: int, *, happens: bool
) -> None:
    """Whether the commit happened or not, the part beside it leaves no gap and deletes no recorded part."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id
    begin = sft.vault.store_part.begin
    assert isinstance(begin, MemoryDatabase)
    blobs = PairwiseBlobs(sft.vault.store_part.blobs, last=1)
    append = attrs.evolve(sft.vault.store_part, blobs=blobs, begin=LostCommitDatabase(begin, nth, happens=happens))
    with pytest.raises(DatabaseUnavailable):
        append_rest(sft, append, pools, maya, upload)
    assert found(sft, maya, upload).offset == (nth + happens) * PART
    assert recorded(sft) <= keys(sft)
    append_rest(sft, sft.vault.store_part, pools, maya, upload)
    acquire(sft, maya, upload, len(CONTENT), length=len(CONTENT))
    assert finishes_with(sft, maya, upload)


def test_request_cancelled_before_its_parts_start_keeps_them(sft: Application, pools: ThreadPools, maya: User) -> None:
    """It does not wait for a part that never started; the allocated parts are stored and recorded."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(len(CONTENT))).file.id

    async def run() -> None:
        loop = asyncio.get_running_loop()
        arrival = loop.create_future()

        def cancel_at_once() -> None:
            arrival.set_result(None)
            # After the step in which the request submits its parts, before the first step of any part.
            loop.call_soon(request.cancel)

        async def stream() -> AsyncIterator[bytes]:
            loop.call_soon(cancel_at_once)
            await arrival
            yield CONTENT[: 3 * PART]

        parts = ConcurrentSink(pools, sft.vault.store_part, acquire(sft, maya, upload, 0))
        # Several parts of one piece without a pause, as when memory is used up and parts are short.
        body = PartPipeline(parts, pools.limits.memory, check_size=lambda _: None, part_size=PART, keeps_received=True)
        request = loop.create_task(body.run(stream()))
        assert (await asyncio.wait([request], timeout=TIMEOUT_SECONDS))[0]
        assert request.cancelled()

    in_use = pools.limits.memory.in_use
    asyncio.run(run())
    assert pools.limits.memory.in_use == in_use
    assert found(sft, maya, upload).offset == 2 * PART
    assert keys(sft) == recorded(sft)


def test_shutdown_that_cancels_every_task_keeps_the_stored_parts(
    sft: Application, pools: ThreadPools, maya: User
) -> None:
    """A part that a thread is storing at that moment is recorded and does not become an orphan."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(len(CONTENT))).file.id
    resume, began = threading.Event(), threading.Semaphore(0)

    @attrs.define
    class SlowBlobs(PairwiseBlobs):
        def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
            began.release()
            assert resume.wait(TIMEOUT_SECONDS)
            super().put(key, pieces, size=size)

    async def run() -> None:
        async def stream() -> AsyncIterator[bytes]:
            yield CONTENT[: 2 * PART]
            await asyncio.sleep(TIMEOUT_SECONDS)

        append = attrs.evolve(sft.vault.store_part, blobs=SlowBlobs(sft.vault.store_part.blobs, last=0))
        parts = ConcurrentSink(pools, append, acquire(sft, maya, upload, 0))
        body = PartPipeline(parts, pools.limits.memory, check_size=lambda _: None, part_size=PART, keeps_received=True)
        request = asyncio.create_task(body.run(stream()))
        for _ in range(2):
            assert await asyncio.to_thread(began.acquire, timeout=TIMEOUT_SECONDS)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        asyncio.get_running_loop().call_later(0.05, resume.set)
        with pytest.raises(asyncio.CancelledError):
            await request

    asyncio.run(run())
    assert found(sft, maya, upload).offset == 2 * PART
    assert keys(sft) == recorded(sft)
