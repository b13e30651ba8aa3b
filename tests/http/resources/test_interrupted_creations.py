"""
Resumable uploads whose creation is cut off while it is being stored: nobody has learnt their URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import attrs
import pytest
from falcon.asgi import Request

from sft_adapters.bootstrap.configuration import ephemeral_keys
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.settings import Settings
from sft_core.application import Application
from sft_core.errors import BlobStoreUnavailable
from sft_core.maintenance.sweep import SweepResult
from sft_core.users.model import User
from sft_core.vault.model import UploadKind
from sft_core.vault.use_cases import AbortUpload
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.resources.tus import TusCollection
from sft_http.transfers.concatenate import concatenate
from support.app.library import FaultyBlobs, LostCommitDatabase
from support.app.resumable import PART, asked, complete_upload, keys, recorded, used
from support.app.use_cases import with_use_cases
from support.waiting import eventually

CONTENT: Final = bytes(range(100))
NO_REQUEST: Final = cast("Request", None)


@attrs.define
class CutOff:
    """
    A call after which whoever waits for it is cut off, before they hear what has come of it.
    """

    _act: Callable[..., Any]
    _cut: Callable[[], object]

    def __call__(self, **asked: Any) -> Any:
        return self._made(self._act, asked)

    def with_session(self, **asked: Any) -> Any:
        return self._made(self._act.with_session, asked)  # type: ignore[attr-defined]  # the one use case that has it

    def _made(self, act: Callable[..., Any], asked: dict[str, Any]) -> Any:
        made = act(**asked)
        self._cut()
        return made


def cut_off(sft: Application, pools: ThreadPools, create: Callable[[TusCollection], Any], name: str) -> None:
    """
    Create an upload by a request that is cancelled as soon as the call of that name has stored it.
    """

    async def run() -> None:
        loop = asyncio.get_running_loop()
        request: asyncio.Task[Any]
        act: Any = CutOff(getattr(sft.vault, name), lambda: loop.call_soon_threadsafe(request.cancel))
        changed: dict[str, Any] = {name: act}
        settings = Settings.from_env(ephemeral_keys(), data_dir=Path("/nonexistent"))
        request = loop.create_task(create(TusCollection(with_use_cases(sft, **changed), pools, settings)))
        with pytest.raises(asyncio.CancelledError):
            await request
        await asyncio.to_thread(eventually, lambda: pools.retry_queue.is_idle)

    asyncio.run(run())


@pytest.mark.parametrize("has_body", [False, True])
def test_a_creation_cut_off_holds_no_quota(sft: Application, pools: ThreadPools, maya: User, *, has_body: bool) -> None:
    """What it held is given back at once, not when the upload's time is over."""
    wanted = asked(len(CONTENT))
    cut_off(sft, pools, lambda on: on._create(NO_REQUEST, maya, wanted, has_body=has_body), "create_upload")
    assert used(sft, maya) == 0


def database_lost(abort: AbortUpload, *, happens: bool) -> AbortUpload:
    assert isinstance(abort.begin, MemoryDatabase)
    return attrs.evolve(abort, begin=LostCommitDatabase(abort.begin, 0, happens=happens))


def store_away(abort: AbortUpload) -> AbortUpload:
    return attrs.evolve(abort, blobs=FaultyBlobs(abort.blobs, {("list", 0): BlobStoreUnavailable()}))


@pytest.mark.parametrize(
    "broken",
    [partial(database_lost, happens=False), partial(database_lost, happens=True), store_away],
    ids=["commit lost", "answer lost", "store away"],
)
def test_a_creation_that_cannot_be_ended_now_is_ended_later(
    sft: Application, pools: ThreadPools, maya: User, broken: Callable[[AbortUpload], AbortUpload]
) -> None:
    """As soon as database and store answer again, whatever came of the first try; it is not left to a sweep."""
    pools.retry_queue.seconds = 0.01
    wanted, away = asked(len(CONTENT)), with_use_cases(sft, abort_upload=broken(sft.vault.abort_upload))
    cut_off(away, pools, lambda on: on._create(NO_REQUEST, maya, wanted, has_body=False), "create_upload")
    assert used(sft, maya) == 0
    assert sft.maintenance.sweep() == SweepResult()


def test_a_concatenation_cut_off_leaves_the_pieces_alone(sft: Application, pools: ThreadPools, maya: User) -> None:
    """The final upload is gone with what it held, and the pieces are as they were."""
    piece = complete_upload(sft, maya, CONTENT, kind=UploadKind.PARTIAL)
    wanted = asked(None, UploadKind.FINAL, piece)
    create = partial(concatenate, pools=pools, owner=maya.id, request=wanted, part_size=PART)
    cut_off(sft, pools, lambda on: create(on.application), "concatenate_uploads")
    assert used(sft, maya) == len(CONTENT)
    assert keys(sft) == recorded(sft)
    assert sft.vault.find_upload(owner=maya.id, file_id=piece).is_complete
