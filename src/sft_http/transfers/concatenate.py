"""
Pieces put together to a file, a part at a time, within what a worker gives to transfers.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import attrs

from sft_core.application import Application
from sft_core.values import UserId
from sft_core.vault.use_cases.concatenate import Concatenation
from sft_core.vault.use_cases.resumable import Progress, UploadAsked
from sft_http.concurrency.thread_pools import Lanes
from sft_http.transfers import upload
from sft_http.transfers.part_pipeline import run_on

_READ_BYTES: Final = 4 << 20
"""What reading a part takes beside it: a window, encrypted and decrypted."""


async def concatenate(
    application: Application, lanes: Lanes, *, owner: UserId, asked: UploadAsked, part_size: int
) -> Progress:
    """
    Make the file that is asked for of its pieces; cut off or failing before its end it leaves nothing.

    It goes at the service's own pace and not at a client's, so it has a thread for a part, and then
    it is another one's turn. It may be refused before it has begun, and goes on however many wait.
    """
    under_way: Concatenation | None = None

    def begin() -> None:
        # Assigned on the lane's thread: a request cut off meanwhile still knows what to end.
        nonlocal under_way
        under_way = application.concatenate_uploads(owner=owner, asked=asked)

    try:
        await lanes.control(begin)
        assert under_way is not None  # noqa: S101 (begin() returned, so it has been assigned)
        is_first = True
        while under_way.left:
            await _step(application, lanes, under_way, part_size, refusable=is_first)
            is_first = False
    except BaseException:
        if under_way is not None:
            await upload.abort(application, lanes, under_way.upload)
        raise
    file = await lanes.bytes.insist(application.concatenate_uploads.finish, under_way)
    return attrs.evolve(under_way.progress, file=file, offset=file.size)


async def _step(
    application: Application, lanes: Lanes, under_way: Concatenation, part_size: int, *, refusable: bool
) -> None:
    """
    Store the next part, as large a one as there is memory for: none is held by those who wait for their turn.
    """
    size = min(part_size, under_way.left)
    async with lanes.limits.concatenations.taken(refusable=refusable):
        with lanes.limits.memory.lent(size + min(_READ_BYTES, 2 * size)) as lent:
            # No more of a piece is read at once than the part will have.
            step = partial(application.concatenate_uploads.step, under_way, at_most=max(lent - _READ_BYTES, lent // 3))
            await run_on(lanes.bytes, step, refusable=refusable)
