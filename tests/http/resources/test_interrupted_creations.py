"""
Creations of resumable uploads that are cancelled while they are stored: no client has received the URL.
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
from sft_http.resources.tus import TusResource
from sft_http.transfers.concatenate import concatenate
from support.app.library import FaultyBlobs, LostCommitDatabase
from support.app.resumable import asked, complete_upload, keys, recorded, used
from support.app.use_cases import with_use_cases
from support.waiting import eventually

CONTENT: Final = bytes(range(100))
NO_REQUEST: Final = cast("Request", None)


@attrs.define
class CancellingUseCase:
    """
    A use case whose caller is cancelled before it receives the result.
    """

    _act: Callable[..., Any]
    _cancel: Callable[[], object]

    def __call__(self, **asked: Any) -> Any:
        return self._call_and_cancel(self._act, asked)

    def with_session(self, **asked: Any) -> Any:
        return self._call_and_cancel(self._act.with_session, asked)  # type: ignore[attr-defined]  # only one use case has it

    def _call_and_cancel(self, act: Callable[..., Any], asked: dict[str, Any]) -> Any:
        result = act(**asked)
        self._cancel()
        return result


def create_and_cancel(sft: Application, pools: ThreadPools, create: Callable[[TusResource], Any], name: str) -> None:
    """
    Create an upload by a request that is cancelled as soon as the named use case has stored it.
    """

    async def run() -> None:
        loop = asyncio.get_running_loop()
        request: asyncio.Task[Any]
        act: Any = CancellingUseCase(getattr(sft.vault, name), lambda: loop.call_soon_threadsafe(request.cancel))
        application = with_use_cases(sft, **{name: act})
        settings = Settings.from_env(ephemeral_keys(), data_dir=Path("/nonexistent"))
        request = loop.create_task(create(TusResource(application, pools, settings)))
        with pytest.raises(asyncio.CancelledError):
            await request
        await asyncio.to_thread(eventually, lambda: pools.retry_queue.is_idle)

    asyncio.run(run())


@pytest.mark.parametrize("has_body", [False, True])
def test_cancelled_creation_holds_no_quota(sft: Application, pools: ThreadPools, maya: User, *, has_body: bool) -> None:
    """The reserved quota is released at once, not when the upload expires."""
    wanted = asked(len(CONTENT))
    create_and_cancel(sft, pools, lambda on: on._create(NO_REQUEST, maya, wanted, has_body=has_body), "create_upload")
    assert used(sft, maya) == 0


def commit_fails(abort: AbortUpload, *, happens: bool) -> AbortUpload:
    assert isinstance(abort.begin, MemoryDatabase)
    return attrs.evolve(abort, begin=LostCommitDatabase(abort.begin, 0, happens=happens))


def store_unavailable(abort: AbortUpload) -> AbortUpload:
    return attrs.evolve(abort, blobs=FaultyBlobs(abort.blobs, {("list", 0): BlobStoreUnavailable()}))


@pytest.mark.parametrize(
    "broken",
    [partial(commit_fails, happens=False), partial(commit_fails, happens=True), store_unavailable],
    ids=["commit lost", "response lost", "store unavailable"],
)
def test_failed_abort_of_a_cancelled_creation_is_retried(
    sft: Application, pools: ThreadPools, maya: User, broken: Callable[[AbortUpload], AbortUpload]
) -> None:
    """It succeeds as soon as database and store respond again, whatever failed; no sweep is needed."""
    pools.retry_queue.seconds = 0.01
    wanted, failing = asked(len(CONTENT)), with_use_cases(sft, abort_upload=broken(sft.vault.abort_upload))
    create_and_cancel(failing, pools, lambda on: on._create(NO_REQUEST, maya, wanted, has_body=False), "create_upload")
    assert used(sft, maya) == 0
    assert sft.maintenance.sweep() == SweepResult()


def test_cancelled_concatenation_keeps_the_partial_uploads(sft: Application, pools: ThreadPools, maya: User) -> None:
    """The final upload is deleted and its quota released; the partial uploads are unchanged."""
    partial_upload = complete_upload(sft, maya, CONTENT, kind=UploadKind.PARTIAL)
    wanted = asked(None, UploadKind.FINAL, partial_upload)
    create = partial(concatenate, pools=pools, owner=maya.id, request=wanted)
    create_and_cancel(sft, pools, lambda on: create(on.application), "concatenate_uploads")
    assert used(sft, maya) == len(CONTENT)
    assert keys(sft) == recorded(sft)
    assert sft.vault.find_upload(owner=maya.id, file_id=partial_upload).is_complete
