"""
Parts of a large request that goes on with an upload, stored two at once: what is recorded has no gap.
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
from sft_http.transfers.part_pipeline import PartPipeline
from sft_http.transfers.part_sink import ConcurrentSink
from support.app.library import LIGHT, TIMEOUT_SECONDS, FaultyBlobs, LostCommitDatabase, PairwiseBlobs
from support.app.resumable import PART, acquire, asked, found, in_small_parts, keys, manifest, read, recorded

CONTENT = bytes(range(7 * PART - 1))


@pytest.fixture
def sft() -> Application:
    return in_small_parts(memory_application(environ=LIGHT))


def go_on(
    sft: Application, append: StorePart, pools: ThreadPools, owner: User, upload: FileId, content: bytes = CONTENT
) -> None:
    """
    Bring the rest of an upload in one request.
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


def is_whole(sft: Application, owner: User, upload: FileId, content: bytes = CONTENT) -> bool:
    sft.vault.finish_upload(owner=owner.id, file_id=upload)
    return read(sft, owner, upload) == content


@pytest.mark.parametrize("size", [PART + 1, 2 * PART, 5 * PART, len(CONTENT)])
@pytest.mark.parametrize("length", ["told", "open"])
def test_two_parts_are_stored_at_once_and_the_file_is_whole(
    sft: Application, pools: ThreadPools, maya: User, size: int, length: str
) -> None:
    """A part that is stored before the one it follows still stands behind it, and nothing else is stored."""
    blobs = PairwiseBlobs(sft.vault.store_part.blobs, last=(size - 1) // PART)
    upload = sft.vault.create_upload(owner=maya.id, request=asked(size if length == "told" else None)).file.id
    go_on(sft, attrs.evolve(sft.vault.store_part, blobs=blobs), pools, maya, upload, CONTENT[:size])
    assert blobs.most == 2
    assert found(sft, maya, upload).offset == size
    assert keys(sft) == recorded(sft)
    acquire(sft, maya, upload, size, length=size)
    assert is_whole(sft, maya, upload, CONTENT[:size])


def test_a_part_that_is_followed_is_recorded_with_the_next_one(
    sft: Application, pools: ThreadPools, maya: User
) -> None:
    """Two parts of a request are one commit."""
    blobs = PairwiseBlobs(sft.vault.store_part.blobs, last=1)
    upload = sft.vault.create_upload(owner=maya.id, request=asked(2 * PART)).file.id
    begin = sft.vault.store_part.begin
    assert isinstance(begin, MemoryDatabase)
    second_fails = LostCommitDatabase(begin, 1, happens=False)
    go_on(
        sft,
        attrs.evolve(sft.vault.store_part, blobs=blobs, begin=second_fails),
        pools,
        maya,
        upload,
        CONTENT[: 2 * PART],
    )
    assert len(manifest(sft.vault.store_part, upload)) == 2


def test_short_parts_are_merged_into_the_first_one(sft: Application, pools: ThreadPools, maya: User) -> None:
    """What a request begins with takes short parts along that came before it, as long as all of it fits."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(len(CONTENT))).file.id
    for end in (3, 5):
        session = acquire(sft, maya, upload, found(sft, maya, upload).offset)
        sft.vault.store_part(session, CONTENT[session.offset : end])
    go_on(sft, sft.vault.store_part, pools, maya, upload)
    assert keys(sft) == recorded(sft)
    assert is_whole(sft, maya, upload)


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("nth", range(7))
def test_whichever_part_fails_the_others_before_it_are_kept(
    sft: Application, pools: ThreadPools, maya: User, nth: int, *, after_effect: bool
) -> None:
    """Its error is the answer; the upload stands where the failure was, and can be gone on with from there."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(len(CONTENT))).file.id
    blobs = FaultyBlobs(sft.vault.store_part.blobs, {("put", nth): BlobStoreFull("no room")}, after_effect=after_effect)
    with pytest.raises(BlobStoreFull):
        go_on(sft, attrs.evolve(sft.vault.store_part, blobs=blobs), pools, maya, upload)
    stands = found(sft, maya, upload).offset
    assert stands % PART == 0
    # Of two that begin at the same moment either may be the one that fails.
    assert (nth - 1) * PART <= stands <= (nth + 1) * PART
    assert after_effect or keys(sft) == recorded(sft)
    go_on(sft, sft.vault.store_part, pools, maya, upload)
    assert is_whole(sft, maya, upload)


@pytest.mark.parametrize("happens", [False, True])
@pytest.mark.parametrize("nth", [0, 1])
def test_a_commit_without_an_answer_takes_nothing_apart(
    sft: Application, pools: ThreadPools, maya: User, nth: int, *, happens: bool
) -> None:
    """Whether it happened or not: the part beside it neither lands behind a gap nor takes away what is recorded."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id
    begin = sft.vault.store_part.begin
    assert isinstance(begin, MemoryDatabase)
    blobs = PairwiseBlobs(sft.vault.store_part.blobs, last=1)
    append = attrs.evolve(sft.vault.store_part, blobs=blobs, begin=LostCommitDatabase(begin, nth, happens=happens))
    with pytest.raises(DatabaseUnavailable):
        go_on(sft, append, pools, maya, upload)
    assert found(sft, maya, upload).offset == (nth + happens) * PART
    assert recorded(sft) <= keys(sft)
    go_on(sft, sft.vault.store_part, pools, maya, upload)
    acquire(sft, maya, upload, len(CONTENT), length=len(CONTENT))
    assert is_whole(sft, maya, upload)


def test_a_request_cut_off_before_its_parts_begin_keeps_them(sft: Application, pools: ThreadPools, maya: User) -> None:
    """Nobody waits for a part that never began: those that had their place are stored and recorded."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(len(CONTENT))).file.id

    async def run() -> None:
        loop = asyncio.get_running_loop()
        comes = loop.create_future()

        def cut_off_at_once() -> None:
            comes.set_result(None)
            # Behind the step in which the request gives its parts away, before the first of theirs.
            loop.call_soon(request.cancel)

        async def stream() -> AsyncIterator[bytes]:
            loop.call_soon(cut_off_at_once)
            await comes
            yield CONTENT[: 3 * PART]

        parts = ConcurrentSink(pools, sft.vault.store_part, acquire(sft, maya, upload, 0))
        # More than one part of a piece without a pause, as when memory is spent and parts are short.
        body = PartPipeline(parts, pools.limits.memory, check_size=lambda _: None, part_size=PART, keeps_received=True)
        request = loop.create_task(body.run(stream()))
        assert (await asyncio.wait([request], timeout=TIMEOUT_SECONDS))[0]
        assert request.cancelled()

    taken = pools.limits.memory.in_use
    asyncio.run(run())
    assert pools.limits.memory.in_use == taken
    assert found(sft, maya, upload).offset == 2 * PART
    assert keys(sft) == recorded(sft)


def test_a_stop_that_cuts_every_task_off_keeps_the_parts_that_are_stored(
    sft: Application, pools: ThreadPools, maya: User
) -> None:
    """A part that a thread was storing at that moment is recorded, not left behind as noise."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(len(CONTENT))).file.id
    goes_on, began = threading.Event(), threading.Semaphore(0)

    @attrs.define
    class Slow(PairwiseBlobs):
        def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
            began.release()
            assert goes_on.wait(TIMEOUT_SECONDS)
            super().put(key, pieces, size=size)

    async def run() -> None:
        async def stream() -> AsyncIterator[bytes]:
            yield CONTENT[: 2 * PART]
            await asyncio.sleep(TIMEOUT_SECONDS)

        append = attrs.evolve(sft.vault.store_part, blobs=Slow(sft.vault.store_part.blobs, last=0))
        parts = ConcurrentSink(pools, append, acquire(sft, maya, upload, 0))
        body = PartPipeline(parts, pools.limits.memory, check_size=lambda _: None, part_size=PART, keeps_received=True)
        request = asyncio.create_task(body.run(stream()))
        for _ in range(2):
            assert await asyncio.to_thread(began.acquire, timeout=TIMEOUT_SECONDS)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        asyncio.get_running_loop().call_later(0.05, goes_on.set)
        with pytest.raises(asyncio.CancelledError):
            await request

    asyncio.run(run())
    assert found(sft, maya, upload).offset == 2 * PART
    assert keys(sft) == recorded(sft)
