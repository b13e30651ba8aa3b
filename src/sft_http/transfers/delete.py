"""
Deletion of a file or an upload, each step on the pool it needs.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from sft_core.errors import Busy, SftError
from sft_core.values import FileId, UserId
from sft_core.vault.use_cases import DeleteFile, purge
from sft_core.vault.use_cases.resumable import TerminateUpload
from sft_http.concurrency.thread_pools import ThreadPools


async def delete(pools: ThreadPools, use_case: DeleteFile | TerminateUpload, *, owner: UserId, file_id: FileId) -> None:
    """
    Delete a file, or terminate an upload.

    After its key is destroyed, the file is deleted. Without a free thread its blobs are deleted as soon as there is
    one, and after a failure of the store by the next sweep.
    """
    steps = use_case if isinstance(use_case, DeleteFile) else use_case.delete
    is_condemned = are_blobs_deleted = False

    def condemn() -> None:
        # Assigned on the pool's thread: if the request is cancelled meanwhile, the rest is deleted all the same.
        nonlocal is_condemned
        use_case.condemn(owner=owner, file_id=file_id)
        is_condemned = True

    def delete_blobs() -> None:
        nonlocal are_blobs_deleted
        steps.delete_blobs(file_id)
        are_blobs_deleted = True

    try:
        await pools.database(condemn)
    finally:
        if is_condemned:
            with suppress(SftError):
                try:
                    await pools.transfer(delete_blobs)
                except Busy:
                    pools.retry_queue.submit(partial(purge, steps.begin, steps.blobs, file_id))
                finally:
                    if are_blobs_deleted:
                        await pools.database.run_without_limit(partial(steps.remove_rows, file_id))
