"""
Concatenation within the limits of a worker: memory, and concatenations at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import attrs
import pytest

from sft_core.application import Application
from sft_core.errors import Busy, FileNotFound
from sft_core.users.model import User
from sft_core.values import FileId, Page
from sft_core.vault.model import UploadKind
from sft_core.vault.ports import Buffer
from sft_http.concurrency.memory_budgets import MIN_BUFFER_BYTES, MemoryBudget
from sft_http.concurrency.semaphore import TimedSemaphore
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.transfers.concatenate import concatenate
from support.app.library import TIMEOUT_SECONDS, DelegatingBlobs
from support.app.resumable import asked, complete_upload, keys, manifest, read, recorded, used
from support.app.use_cases import with_use_cases

MIB = 1 << 20
CONTENT = bytes(range(256)) * 4096 + b"tail"


@attrs.define
class WatchedBlobs(DelegatingBlobs):
    """
    A blob store that records the memory in use whenever a part is stored.
    """

    memory: MemoryBudget
    in_use: list[int] = attrs.field(factory=list)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        self.in_use.append(self.memory.in_use)
        super().put(key, pieces, size=size)


@pytest.fixture
def partial_upload(sft: Application, maya: User) -> FileId:
    return new_partial_upload(sft, maya)


def new_partial_upload(sft: Application, maya: User) -> FileId:
    upload = sft.vault.create_upload(owner=maya.id, request=asked(len(CONTENT), UploadKind.PARTIAL)).file.id
    sft.vault.store_part(sft.vault.acquire_upload(owner=maya.id, file_id=upload, offset=0), CONTENT)
    return upload


def run_concatenation(
    sft: Application, pools: ThreadPools, owner: User, *partial_uploads: FileId, part_size: int
) -> FileId:
    wanted, use_case = asked(None, UploadKind.FINAL, *partial_uploads), sft.vault.concatenate_uploads
    sft = with_use_cases(sft, concatenate_uploads=attrs.evolve(use_case, part_size=part_size))
    story = concatenate(sft, pools, owner=owner.id, request=wanted)
    return asyncio.run(asyncio.wait_for(story, TIMEOUT_SECONDS)).file.id


@pytest.mark.parametrize("limit", [0, 2 * MIN_BUFFER_BYTES, MIB, 64 * MIB])
def test_concatenation_stays_within_the_memory_budget(
    sft: Application, pools: ThreadPools, maya: User, partial_upload: FileId, limit: int
) -> None:
    """Buffers for reading and writing both count; with little memory parts are shorter, the file is the same."""
    memory = MemoryBudget(limit)
    pools.limits = attrs.evolve(pools.limits, memory=memory)
    blobs = WatchedBlobs(sft.vault.store_part.blobs, memory)
    store_part = attrs.evolve(sft.vault.concatenate_uploads.store_part, blobs=blobs)
    watched = with_use_cases(
        sft, concatenate_uploads=attrs.evolve(sft.vault.concatenate_uploads, store_part=store_part)
    )
    file = run_concatenation(watched, pools, maya, partial_upload, partial_upload, part_size=MIB)
    sizes = [part.size for part in manifest(sft.vault.store_part, file)]
    assert read(sft, maya, file) == CONTENT * 2
    assert memory.in_use == 0
    assert max(blobs.in_use) <= max(limit, MIN_BUFFER_BYTES)
    assert all(in_use >= min(3 * size, limit) for in_use, size in zip(blobs.in_use, sizes, strict=True))
    if limit == 64 * MIB:
        assert sizes == [MIB, MIB, 8]


def test_waiting_concatenation_holds_no_memory(sft: Application, pools: ThreadPools, maya: User) -> None:
    """Only the running one of several concatenations uses memory, so the whole budget is available to it."""
    memory = MemoryBudget(4 * MIB)
    pools.limits = attrs.evolve(pools.limits, memory=memory, concatenations=TimedSemaphore("turn", 1, TIMEOUT_SECONDS))
    blobs = WatchedBlobs(sft.vault.store_part.blobs, memory)
    store_part = attrs.evolve(sft.vault.concatenate_uploads.store_part, blobs=blobs)
    use_case = attrs.evolve(sft.vault.concatenate_uploads, store_part=store_part, part_size=MIB // 4)
    watched = with_use_cases(sft, concatenate_uploads=use_case)

    async def story() -> list[Any]:
        wanted = [asked(None, UploadKind.FINAL, new_partial_upload(sft, maya)) for _ in range(5)]
        several = (concatenate(watched, pools, owner=maya.id, request=one) for one in wanted)
        return await asyncio.gather(*several)

    finished = asyncio.run(asyncio.wait_for(story(), TIMEOUT_SECONDS))
    assert {read(sft, maya, progress.file.id) for progress in finished} == {CONTENT}
    assert max(blobs.in_use) == 3 * MIB // 4


def test_concatenation_beyond_the_limit_is_rejected_and_leaves_nothing(
    sft: Application, pools: ThreadPools, maya: User, partial_upload: FileId
) -> None:
    """After the wait limit it is rejected as busy, and the partial uploads are unchanged."""
    pools.limits = attrs.evolve(pools.limits, concatenations=TimedSemaphore("turn", 0, 0.01))
    with pytest.raises(Busy):
        run_concatenation(sft, pools, maya, partial_upload, part_size=MIB)
    assert used(sft, maya) == len(CONTENT)
    assert keys(sft) == recorded(sft)
    assert sft.vault.find_upload(owner=maya.id, file_id=partial_upload).is_complete


def test_concatenation_cancelled_while_it_is_sealed_removes_its_sources(
    sft: Application, pools: ThreadPools, maya: User, partial_upload: FileId
) -> None:
    """The file is sealed by then, so the partial uploads are removed and use no quota."""
    use_case = sft.vault.concatenate_uploads

    async def story() -> None:
        loop = asyncio.get_running_loop()
        request: asyncio.Task[Any]

        def cancelling_seal(*arguments: Any, **named: Any) -> Any:
            loop.call_soon_threadsafe(request.cancel)
            return use_case.seal(*arguments, **named)

        cancelling = with_use_cases(sft, concatenate_uploads=attrs.evolve(use_case, seal=cancelling_seal))
        wanted = asked(None, UploadKind.FINAL, partial_upload)
        request = loop.create_task(concatenate(cancelling, pools, owner=maya.id, request=wanted))
        with pytest.raises(asyncio.CancelledError):
            await request

    asyncio.run(asyncio.wait_for(story(), TIMEOUT_SECONDS))
    (file,) = sft.vault.list_files(owner=maya.id, page=Page())
    assert read(sft, maya, file.id) == CONTENT
    assert used(sft, maya) == len(CONTENT)
    with pytest.raises(FileNotFound):
        sft.vault.find_upload(owner=maya.id, file_id=partial_upload)


def test_started_concatenation_is_never_rejected(sft: Application, pools: ThreadPools, maya: User) -> None:
    """After its first step it waits for the semaphore as long as necessary, so no work is lost."""
    partial_uploads = [
        complete_upload(sft, maya, content, kind=UploadKind.PARTIAL) for content in (b"ab", b"", b"cdefg")
    ]

    @attrs.define
    class Counted(TimedSemaphore):
        may_reject_calls: list[bool] = attrs.field(factory=list)

        def acquired(self, *, may_reject: bool = True) -> Any:
            self.may_reject_calls.append(may_reject)
            return super().acquired(may_reject=may_reject)

    semaphore = Counted("turn", 1, TIMEOUT_SECONDS)
    pools.limits = attrs.evolve(pools.limits, concatenations=semaphore)
    file = run_concatenation(sft, pools, maya, *partial_uploads, part_size=3)
    assert read(sft, maya, file) == b"abcdefg"
    assert [part.size for part in manifest(sft.vault.store_part, file)] == [3, 3, 1]
    assert semaphore.may_reject_calls == [True, False, False]
