"""
Pieces put together within what a worker gives to transfers: a place, a turn at a thread, memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import attrs
import pytest

from sft_core.application import Application
from sft_core.errors import Busy
from sft_core.users.model import User
from sft_core.values import FileId
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
    A blob store that notes how much memory is taken whenever a part is stored.
    """

    memory: MemoryBudget
    taken: list[int] = attrs.field(factory=list)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        self.taken.append(self.memory.in_use)
        super().put(key, pieces, size=size)


@pytest.fixture
def piece(sft: Application, maya: User) -> FileId:
    return a_piece(sft, maya)


def a_piece(sft: Application, maya: User) -> FileId:
    upload = sft.vault.create_upload(owner=maya.id, request=asked(len(CONTENT), UploadKind.PARTIAL)).file.id
    sft.vault.store_part(sft.vault.acquire_upload(owner=maya.id, file_id=upload, offset=0), CONTENT)
    return upload


def put_together(sft: Application, pools: ThreadPools, owner: User, *pieces: FileId, part_size: int) -> FileId:
    wanted = asked(None, UploadKind.FINAL, *pieces)
    story = concatenate(sft, pools, owner=owner.id, request=wanted, part_size=part_size)
    return asyncio.run(asyncio.wait_for(story, TIMEOUT_SECONDS)).file.id


@pytest.mark.parametrize("limit", [0, 2 * MIN_BUFFER_BYTES, MIB, 64 * MIB])
def test_a_part_takes_what_memory_there_is_and_gives_it_back(
    sft: Application, pools: ThreadPools, maya: User, piece: FileId, limit: int
) -> None:
    """Buffers for it and for what it is read from count; with little left parts are shorter, and the file whole."""
    memory = MemoryBudget(limit)
    pools.limits = attrs.evolve(pools.limits, memory=memory)
    blobs = WatchedBlobs(sft.vault.store_part.blobs, memory)
    store_part = attrs.evolve(sft.vault.concatenate_uploads.store_part, blobs=blobs)
    watched = with_use_cases(
        sft, concatenate_uploads=attrs.evolve(sft.vault.concatenate_uploads, store_part=store_part)
    )
    file = put_together(watched, pools, maya, piece, piece, part_size=MIB)
    sizes = [part.size for part in manifest(sft.vault.store_part, file)]
    assert read(sft, maya, file) == CONTENT * 2
    assert memory.in_use == 0
    assert max(blobs.taken) <= max(limit, MIN_BUFFER_BYTES)
    assert all(taken >= min(3 * size, limit) for taken, size in zip(blobs.taken, sizes, strict=True))
    if limit == 64 * MIB:
        assert sizes == [MIB, MIB, 8]


def test_nothing_is_held_between_two_parts(sft: Application, pools: ThreadPools, maya: User) -> None:
    """Of many that wait for their turn none has memory: one who has one finds all that there is."""
    memory = MemoryBudget(4 * MIB)
    pools.limits = attrs.evolve(pools.limits, memory=memory, concatenations=TimedSemaphore("turn", 1, TIMEOUT_SECONDS))
    blobs = WatchedBlobs(sft.vault.store_part.blobs, memory)
    store_part = attrs.evolve(sft.vault.concatenate_uploads.store_part, blobs=blobs)
    watched = with_use_cases(
        sft, concatenate_uploads=attrs.evolve(sft.vault.concatenate_uploads, store_part=store_part)
    )

    async def story() -> list[Any]:
        wanted = [asked(None, UploadKind.FINAL, a_piece(sft, maya)) for _ in range(5)]
        several = (concatenate(watched, pools, owner=maya.id, request=one, part_size=MIB // 4) for one in wanted)
        return await asyncio.gather(*several)

    made = asyncio.run(asyncio.wait_for(story(), TIMEOUT_SECONDS))
    assert {read(sft, maya, progress.file.id) for progress in made} == {CONTENT}
    assert max(blobs.taken) == 3 * MIB // 4


def test_one_for_which_no_turn_comes_is_refused_and_leaves_nothing(
    sft: Application, pools: ThreadPools, maya: User, piece: FileId
) -> None:
    """As any request that finds the service busy; the pieces are as they were."""
    pools.limits = attrs.evolve(pools.limits, concatenations=TimedSemaphore("turn", 0, 0.01))
    with pytest.raises(Busy):
        put_together(sft, pools, maya, piece, part_size=MIB)
    assert used(sft, maya) == len(CONTENT)
    assert keys(sft) == recorded(sft)
    assert sft.vault.find_upload(owner=maya.id, file_id=piece).is_complete


def test_one_that_has_begun_waits_for_its_turns(sft: Application, pools: ThreadPools, maya: User) -> None:
    """What has been put together is not thrown away for being busy, however long it takes."""
    pieces = [complete_upload(sft, maya, content, kind=UploadKind.PARTIAL) for content in (b"ab", b"", b"cdefg")]

    @attrs.define
    class Counted(TimedSemaphore):
        refusable_ones: list[bool] = attrs.field(factory=list)

        def acquired(self, *, may_reject: bool = True) -> Any:
            self.refusable_ones.append(may_reject)
            return super().acquired(may_reject=may_reject)

    turns = Counted("turn", 1, TIMEOUT_SECONDS)
    pools.limits = attrs.evolve(pools.limits, concatenations=turns)
    file = put_together(sft, pools, maya, *pieces, part_size=3)
    assert read(sft, maya, file) == b"abcdefg"
    assert [part.size for part in manifest(sft.vault.store_part, file)] == [3, 3, 1]
    assert turns.refusable_ones == [True, False, False]
