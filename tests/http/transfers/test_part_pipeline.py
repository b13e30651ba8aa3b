"""
Parts of a large upload, stored at most two at once: in order and complete.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import count
from typing import Any

import attrs
import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_adapters.memory.database import MemoryDatabase
from sft_core.application import Application
from sft_core.errors import BlobStoreFull, UploadAborted, UploadIncomplete
from sft_core.users.model import User
from sft_core.values import OCTET_STREAM, FileName, Secret
from sft_core.vault.model import MANIFEST_PAGE, File
from sft_core.vault.ports import BlobStore, Buffer
from sft_core.vault.use_cases import UploadSession
from sft_http.concurrency.memory_budgets import MemoryBudget
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.transfers.part_pipeline import PartPipeline
from sft_http.transfers.upload import IncomingFile, receive
from support.app.library import LIGHT, TIMEOUT_SECONDS, DelegatingBlobs, FaultyBlobs, PairwiseBlobs
from support.app.use_cases import with_use_cases

PART = 1000
NAME = FileName.parse("large.bin")


@pytest.fixture
def sft() -> Application:
    sft = memory_application(environ=LIGHT)
    return with_use_cases(sft, begin_upload=attrs.evolve(sft.vault.begin_upload, part_size=PART))


def database(sft: Application) -> MemoryDatabase:
    assert isinstance(sft.vault.find_file.begin, MemoryDatabase)
    return sft.vault.find_file.begin


def with_blobs(sft: Application, blobs: BlobStore) -> Application:
    store_part = attrs.evolve(sft.vault.store_part, blobs=blobs)
    return with_use_cases(
        sft, store_part=store_part, seal_upload=attrs.evolve(sft.sharing.seal_upload, store_part=store_part)
    )


def store(
    sft: Application,
    pools: ThreadPools,
    owner: User,
    content: bytes,
    *,
    pieces: int = 700,
    on_piece: Callable[[], object] = int,
) -> File:
    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(content), pieces):
            yield content[start : start + pieces]
            on_piece()

    async def run() -> File:
        file = IncomingFile(
            name=NAME,
            media_type=OCTET_STREAM,
            stream=stream(),
            announced_size=len(content) + PART,
            overhead=PART,
        )
        upload = await receive(sft, pools, file, owner=owner.id)
        return sft.sharing.seal_upload(upload).file

    return asyncio.run(run())


def is_empty(sft: Application) -> bool:
    rows = database(sft).snapshot()
    return not rows.files and not any(rows.usages.values()) and not list(sft.vault.store_part.blobs.list())


@pytest.mark.parametrize("parts", [2, 3, 4, 7, 2 * MANIFEST_PAGE + 1])
def test_two_concurrent_parts_make_a_complete_file(
    sft: Application, pools: ThreadPools, maya: User, parts: int
) -> None:
    """A part stored before its predecessor still follows it, across pages of the manifest too."""
    content = bytes(range(251)) * (parts * PART // 251 + 1)
    content = content[: parts * PART - 1]
    blobs = PairwiseBlobs(sft.vault.store_part.blobs, last=parts - 1)
    file = store(with_blobs(sft, blobs), pools, maya, content)
    assert b"".join(sft.vault.read_file(file)) == content
    assert blobs.most == 2


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("nth", range(5))
def test_failure_of_any_part_leaves_nothing(
    sft: Application, pools: ThreadPools, maya: User, nth: int, *, after_effect: bool
) -> None:
    """The error of the part is raised, and the part beside it is deleted as well."""
    blobs = FaultyBlobs(sft.vault.store_part.blobs, {("put", nth): BlobStoreFull("no room")}, after_effect=after_effect)
    with pytest.raises(BlobStoreFull):
        store(with_blobs(sft, blobs), pools, maya, bytes(5 * PART))
    assert is_empty(sft)


def test_aborted_upload_keeps_no_concurrent_part(sft: Application, pools: ThreadPools, maya: User) -> None:
    """Two parts stored after the abort has listed the blobs are both deleted."""

    @attrs.define
    class AbortingBlobs(PairwiseBlobs):
        def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
            for file in [*database(sft).snapshot().files.values()]:
                sft.vault.abort_upload(UploadSession(file=file, key=Secret(b"")))
            super().put(key, pieces, size=size)

    with pytest.raises(UploadAborted):
        store(with_blobs(sft, AbortingBlobs(sft.vault.store_part.blobs, last=1)), pools, maya, bytes(5 * PART))
    assert is_empty(sft)


def new_session(sft: Application, owner: User) -> UploadSession:
    return sft.vault.begin_upload(owner=owner.id, name=NAME, announced_size=None)


def test_part_is_not_recorded_before_its_predecessor(sft: Application, maya: User) -> None:
    """A gap raises UploadIncomplete, so the recorded parts never have one."""
    upload = new_session(sft, maya)
    first = sft.vault.store_part.allocate(upload, 5)
    second = sft.vault.store_part.allocate(upload, 6, after=first)
    assert (first.number, first.start, second.number, second.start, second.stop) == (0, 0, 1, 5, 11)
    late = sft.vault.store_part.put(upload, second, b" after")
    with pytest.raises(UploadIncomplete):
        sft.vault.store_part.accept(upload, late)
    sft.vault.store_part.delete_orphans(upload)
    assert not list(sft.vault.store_part.blobs.list())
    sft.vault.store_part.accept(upload, sft.vault.store_part.put(upload, first, b"first"))
    sft.vault.store_part.accept(upload, sft.vault.store_part.put(upload, second, b" after"))
    assert b"".join(sft.vault.read_file(sft.sharing.seal_upload(upload).file)) == b"first after"


@attrs.define
class SlowBlobs(DelegatingBlobs):
    """
    A blob store that calls `before` before it reads a part, and `durable` after it has written it.
    """

    before: Callable[[], object]
    durable: Callable[[int], object]
    _started: Iterator[int] = attrs.field(factory=count)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        number = next(self._started)
        self.before()
        super().put(key, pieces, size=size)
        self.durable(number)


def test_buffer_is_refilled_while_its_part_is_made_durable(sft: Application, pools: ThreadPools, maya: User) -> None:
    """Two buffers suffice: the first part ends only after more bytes than both hold have been received."""
    content, received = bytes(range(250)) * 20, threading.Semaphore(0)
    memory, peak = pools.limits.memory, 0

    def durable(part: int) -> None:
        if part == 0:
            assert all(received.acquire(timeout=TIMEOUT_SECONDS) for _ in range(2 * PART // 100 + 1))

    def on_piece() -> None:
        nonlocal peak
        received.release()
        peak = max(peak, memory.in_use)

    slow = with_blobs(sft, SlowBlobs(sft.vault.store_part.blobs, lambda: None, durable))
    file = store(slow, pools, maya, content, pieces=100, on_piece=on_piece)
    assert b"".join(sft.vault.read_file(file)) == content
    assert peak == 2 * PART


def test_buffer_is_not_refilled_before_its_part_is_encrypted(sft: Application, pools: ThreadPools, maya: User) -> None:
    """This holds however late a thread encrypts it and however many bytes are received meanwhile."""
    content = os.urandom(12 * PART)
    slow = SlowBlobs(sft.vault.store_part.blobs, partial(time.sleep, 0.02), lambda part: time.sleep(0.03 * (part % 2)))
    assert b"".join(sft.vault.read_file(store(with_blobs(sft, slow), pools, maya, content))) == content


@pytest.mark.parametrize("fails", [False, True])
def test_encryption_is_reported_before_the_part_is_durable(sft: Application, maya: User, *, fails: bool) -> None:
    """`on_encrypted` releases the plaintext for reuse; it is not called if the store fails before reading."""
    upload, order = new_session(sft, maya), list[str]()

    @attrs.define
    class RecordingBlobs(DelegatingBlobs):
        def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
            if fails:
                raise BlobStoreFull("no room")
            super().put(key, pieces, size=size)
            order.append("durable")

    parts = with_blobs(sft, RecordingBlobs(sft.vault.store_part.blobs)).vault.store_part
    slot = parts.allocate(upload, 5)
    with pytest.raises(BlobStoreFull) if fails else nullcontext():
        parts.put(upload, slot, b"first", on_encrypted=partial(order.append, "encrypted"))
    assert order == ([] if fails else ["encrypted", "durable"])


@attrs.define
class OneFailsFirst:
    """
    A sink whose first part fails while the second one is still being stored.
    """

    resume: asyncio.Event = attrs.field(factory=asyncio.Event)
    concurrency: int = 2
    _started: int = 0

    async def submit(
        self, plaintext: memoryview, *, on_encrypted: Callable[[], object], may_reject: bool
    ) -> Coroutine[Any, Any, None]:
        del plaintext, on_encrypted, may_reject
        self._started += 1
        return self._stored(is_first=self._started == 1)

    async def _stored(self, *, is_first: bool) -> None:
        if is_first:
            raise BlobStoreFull("no room")
        await self.resume.wait()


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_cancellation_while_a_part_ends_releases_its_memory(*, is_cancelled: bool) -> None:
    """After a failed part the concurrent one is awaited, and a cancellation meanwhile leaks no memory."""

    async def run() -> int:
        memory, parts = MemoryBudget(1 << 20), OneFailsFirst()

        async def stream() -> AsyncIterator[bytes]:
            yield bytes(5 * PART)

        body = PartPipeline(parts, memory, check_size=lambda _: None, part_size=PART)
        request = asyncio.create_task(body.run(stream()))
        await asyncio.sleep(0.01)
        assert memory.in_use
        if is_cancelled:
            request.cancel()
        parts.resume.set()
        with pytest.raises(asyncio.CancelledError if is_cancelled else BlobStoreFull):
            await request
        return memory.in_use

    assert asyncio.run(run()) == 0
