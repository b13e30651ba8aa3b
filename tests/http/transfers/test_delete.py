"""
Deletions whose request is cancelled: a deletion that has started is completed.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import attrs
import pytest

from sft_core.application import Application
from sft_core.errors import BlobStoreUnavailable, FileNotFound
from sft_core.users.model import User
from sft_core.values import FileName
from sft_core.vault.use_cases import DeleteFile
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.transfers.delete import delete
from support.app.library import TIMEOUT_SECONDS, FaultyBlobs
from support.app.resumable import keys, used

STEPS = ("condemn", "delete_blobs", "remove_rows")


def cancelled_at(step: str, delete_file: DeleteFile, cancel: Any) -> DeleteFile:
    """
    A deletion whose request is cancelled while this step runs.
    """

    class CancellingDeletion(DeleteFile):
        def __getattribute__(self, name: str) -> Any:
            if name == step:
                cancel()
            return super().__getattribute__(name)

    return CancellingDeletion(**attrs.asdict(delete_file, recurse=False))


@pytest.mark.parametrize("step", STEPS)
def test_deletion_cancelled_at_any_step_leaves_nothing(
    sft: Application, pools: ThreadPools, maya: User, step: str
) -> None:
    """The file's blobs are deleted and its quota is released without a sweep."""
    file = sft.vault.store_file(owner=maya.id, name=FileName.parse("a.bin"), content=[bytes(100_000)])

    async def run() -> None:
        loop = asyncio.get_running_loop()
        request: asyncio.Task[None]
        delete_file = cancelled_at(step, sft.vault.delete_file, lambda: loop.call_soon_threadsafe(request.cancel))
        request = loop.create_task(delete(pools, delete_file, owner=maya.id, file_id=file.id))
        with pytest.raises(asyncio.CancelledError):
            await request

    asyncio.run(run())
    assert (used(sft, maya), keys(sft)) == (0, set())


def test_deletion_without_a_free_thread_is_completed_soon(sft: Application, pools: ThreadPools, maya: User) -> None:
    """The file is deleted at once; its blobs and its quota follow without a sweep."""
    file = sft.vault.store_file(owner=maya.id, name=FileName.parse("a.bin"), content=[b"abc"])
    pools.transfer.wait_seconds, pools.retry_queue.seconds = 0.01, 0.01

    async def story() -> None:
        gate = threading.Event()
        busy = [asyncio.create_task(pools.transfer.run_without_limit(gate.wait)) for _ in range(pools.transfer.threads)]
        await asyncio.sleep(0)
        await delete(pools, sft.vault.delete_file, owner=maya.id, file_id=file.id)
        with pytest.raises(FileNotFound):
            sft.vault.find_file(owner=maya.id, file_id=file.id)
        assert used(sft, maya) == 3
        gate.set()
        await asyncio.gather(*busy)
        while not pools.retry_queue.is_idle:  # noqa: ASYNC110 (the queue has no event)
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(story(), TIMEOUT_SECONDS))
    assert (used(sft, maya), keys(sft)) == (0, set())


def test_deletion_that_cannot_delete_blobs_keeps_its_rows(sft: Application, pools: ThreadPools, maya: User) -> None:
    """No error is raised, the quota stays in use, and the next sweep completes the deletion."""
    file = sft.vault.store_file(owner=maya.id, name=FileName.parse("a.bin"), content=[b"abc"])
    blobs = FaultyBlobs(sft.vault.delete_file.blobs, {("delete", 0): BlobStoreUnavailable()})
    asyncio.run(delete(pools, attrs.evolve(sft.vault.delete_file, blobs=blobs), owner=maya.id, file_id=file.id))
    assert used(sft, maya) == 3
    sft.maintenance.sweep()
    assert (used(sft, maya), keys(sft)) == (0, set())
