"""
Concatenation of partial uploads, one part at a time, within the memory budget.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import attrs

from sft_core.application import Application
from sft_core.values import UserId
from sft_core.vault.model import File
from sft_core.vault.use_cases.resumable import Progress, UploadRequest
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.transfers.part_pipeline import run_in
from sft_http.transfers.upload import aborted_on_error

_READ_BYTES: Final = 4 << 20
"""How many bytes reading a part takes in addition: a window, encrypted and decrypted."""


async def concatenate(
    application: Application, pools: ThreadPools, *, owner: UserId, request: UploadRequest
) -> Progress:
    """
    Make the requested file of its partial uploads.

    A cancellation or failure before the file is sealed leaves nothing of it; once it is sealed, its sources are removed
    in any case.

    It runs at the service's own pace and not at a client's, so it holds a thread for one part, then yields to others.
    It may be rejected before its first part, and not after it.
    """
    use_case, is_first = application.vault.concatenate_uploads, True
    begin = partial(use_case, owner=owner, request=request)
    async with aborted_on_error(application, pools, begin, lambda begun: begun.upload) as running:
        while running.remaining_bytes:
            size = min(use_case.part_size, running.remaining_bytes)
            # Concatenations that wait hold no memory. The next part is as large a one as memory allows.
            async with pools.limits.concatenations.acquired(may_reject=is_first):
                with pools.limits.memory.borrow(size + min(_READ_BYTES, 2 * size)) as borrowed:
                    # No more of a source is read at once than the part will have.
                    step = partial(use_case.step, running, at_most=max(borrowed - _READ_BYTES, borrowed // 3))
                    await run_in(pools.transfer, step, may_reject=is_first)
            is_first = False
        if is_first:
            await pools.transfer.run_without_limit(application.vault.store_part.complete, running.upload)
    sealed: list[File] = []
    try:
        # Appended on the pool's thread: a request that is cancelled meanwhile has sealed the file all the same.
        await pools.database.run_without_limit(lambda: sealed.append(use_case.seal_file(running)))
    finally:
        if sealed:
            await pools.transfer.run_without_limit(use_case.remove_sources, running)
    (file,) = sealed
    return attrs.evolve(running.progress, file=file, offset=file.size)
