"""
Parts of a large body, stored two at once: in order, whole, and never more than two.
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
from sft_http.transfers.upload import receive
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


def on(sft: Application, blobs: BlobStore) -> Application:
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
    another_came: Callable[[], object] = int,
) -> File:
    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(content), pieces):
            yield content[start : start + pieces]
            another_came()

    async def run() -> File:
        upload = await receive(
            sft,
            pools,
            owner=owner.id,
            name=NAME,
            media_type=OCTET_STREAM,
            stream=stream(),
            announced_size=len(content) + PART,
            overhead=PART,
            part_size=PART,
        )
        return sft.sharing.seal_upload(upload).file

    return asyncio.run(run())


def is_empty(sft: Application) -> bool:
    rows = database(sft).snapshot()
    return not rows.files and not any(rows.usages.values()) and not list(sft.vault.store_part.blobs.list())


@pytest.mark.parametrize("parts", [2, 3, 4, 7, 2 * MANIFEST_PAGE + 1])
def test_two_parts_are_stored_at_once_and_the_file_is_whole(
    sft: Application, pools: ThreadPools, maya: User, parts: int
) -> None:
    """A part that is stored before the one it follows still stands behind it, across pages of the manifest too."""
    content = bytes(range(251)) * (parts * PART // 251 + 1)
    content = content[: parts * PART - 1]
    blobs = PairwiseBlobs(sft.vault.store_part.blobs, last=parts - 1)
    file = store(on(sft, blobs), pools, maya, content)
    assert b"".join(sft.vault.read_file(file)) == content
    assert blobs.most == 2


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("nth", range(5))
def test_whichever_part_fails_nothing_is_left(
    sft: Application, pools: ThreadPools, maya: User, nth: int, *, after_effect: bool
) -> None:
    """Its error is the answer, and the part beside it is removed as well."""
    blobs = FaultyBlobs(sft.vault.store_part.blobs, {("put", nth): BlobStoreFull("no room")}, after_effect=after_effect)
    with pytest.raises(BlobStoreFull):
        store(on(sft, blobs), pools, maya, bytes(5 * PART))
    assert is_empty(sft)


def test_an_upload_that_somebody_ends_keeps_neither_of_its_two_parts(
    sft: Application, pools: ThreadPools, maya: User
) -> None:
    """Both are stored after the abort has listed what was there, and each is taken back."""

    @attrs.define
    class Ended(PairwiseBlobs):
        def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
            for file in [*database(sft).snapshot().files.values()]:
                sft.vault.abort_upload(UploadSession(file=file, key=Secret(b"")))
            super().put(key, pieces, size=size)

    with pytest.raises(UploadAborted):
        store(on(sft, Ended(sft.vault.store_part.blobs, last=1)), pools, maya, bytes(5 * PART))
    assert is_empty(sft)


def begun(sft: Application, owner: User) -> UploadSession:
    return sft.vault.begin_upload(owner=owner.id, name=NAME, announced_size=None)


def test_a_part_is_not_counted_before_the_one_it_follows(sft: Application, maya: User) -> None:
    """A gap is refused, so that what is recorded never has one."""
    upload = begun(sft, maya)
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
    A blob store that takes its time: before it takes the pieces in and, as a disk does, when it has them.
    """

    before: Callable[[], object]
    durable: Callable[[int], object]
    _begun: Iterator[int] = attrs.field(factory=count)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        mine = next(self._begun)
        self.before()
        super().put(key, pieces, size=size)
        self.durable(mine)


def test_a_buffer_is_filled_again_while_the_store_makes_its_part_durable(
    sft: Application, pools: ThreadPools, maya: User
) -> None:
    """Two are enough for a large body: the first part ends only when more has come than both of them hold."""
    content, came = bytes(range(250)) * 20, threading.Semaphore(0)
    memory, most = pools.limits.memory, 0

    def durable(part: int) -> None:
        if part == 0:
            assert all(came.acquire(timeout=TIMEOUT_SECONDS) for _ in range(2 * PART // 100 + 1))

    def another_came() -> None:
        nonlocal most
        came.release()
        most = max(most, memory.in_use)

    slow = on(sft, SlowBlobs(sft.vault.store_part.blobs, lambda: None, durable))
    file = store(slow, pools, maya, content, pieces=100, another_came=another_came)
    assert b"".join(sft.vault.read_file(file)) == content
    assert most == 2 * PART


def test_a_buffer_is_not_filled_again_before_its_part_is_encrypted(
    sft: Application, pools: ThreadPools, maya: User
) -> None:
    """However late a thread comes to it, and however much has come meanwhile."""
    content = os.urandom(12 * PART)
    slow = SlowBlobs(sft.vault.store_part.blobs, partial(time.sleep, 0.02), lambda part: time.sleep(0.03 * (part % 2)))
    assert b"".join(sft.vault.read_file(store(on(sft, slow), pools, maya, content))) == content


@pytest.mark.parametrize("fails", [False, True])
def test_plaintext_may_be_written_over_once_all_of_it_is_encrypted(
    sft: Application, maya: User, *, fails: bool
) -> None:
    """Which is told before the store has made it durable, and not at all if the store has not come so far."""
    upload, order = begun(sft, maya), list[str]()

    @attrs.define
    class Told(DelegatingBlobs):
        def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
            if fails:
                raise BlobStoreFull("no room")
            super().put(key, pieces, size=size)
            order.append("durable")

    parts = on(sft, Told(sft.vault.store_part.blobs)).vault.store_part
    slot = parts.allocate(upload, 5)
    with pytest.raises(BlobStoreFull) if fails else nullcontext():
        parts.put(upload, slot, b"first", on_encrypted=partial(order.append, "encrypted"))
    assert order == ([] if fails else ["encrypted", "durable"])


@attrs.define
class OneFailsFirst:
    """
    Parts of which the first one fails while the second one, and no other, is still being stored.
    """

    goes_on: asyncio.Event = attrs.field(factory=asyncio.Event)
    concurrency: int = 2
    _begun: int = 0

    async def submit(
        self, plaintext: memoryview, *, on_encrypted: Callable[[], object], may_reject: bool
    ) -> Coroutine[Any, Any, None]:
        del plaintext, on_encrypted, may_reject
        self._begun += 1
        return self._stored(is_first=self._begun == 1)

    async def _stored(self, *, is_first: bool) -> None:
        if is_first:
            raise BlobStoreFull("no room")
        await self.goes_on.wait()


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_whoever_is_cut_off_while_a_part_ends_gives_its_memory_back(*, is_cut_off: bool) -> None:
    """After a part has failed the one beside it is waited for, and nothing that comes meanwhile costs others memory."""

    async def run() -> int:
        memory, parts = MemoryBudget(1 << 20), OneFailsFirst()

        async def stream() -> AsyncIterator[bytes]:
            yield bytes(5 * PART)

        body = PartPipeline(parts, memory, check_size=lambda _: None, part_size=PART)
        request = asyncio.create_task(body.run(stream()))
        await asyncio.sleep(0.01)
        assert memory.in_use
        if is_cut_off:
            request.cancel()
        parts.goes_on.set()
        with pytest.raises(asyncio.CancelledError if is_cut_off else BlobStoreFull):
            await request
        return memory.in_use

    assert asyncio.run(run()) == 0
