"""
Bytes from clients into the vault, without a thread held for a slow one.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

import attrs

from sft_core.application import Application
from sft_core.errors import SftError
from sft_core.values import FileName, MediaType, UserId
from sft_core.vault.use_cases import UploadSession
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.transfers.part_pipeline import ConcurrentSink, PartPipeline, SequentialSink

T = TypeVar("T")

log: Final = logging.getLogger("sft.transfers")


@attrs.frozen(kw_only=True)
class IncomingFile:
    """
    A file that a request sends: its name, its media type, and its bytes.

    The announced size, None if there is none, may exceed the file's by up to `overhead` bytes.
    """

    name: FileName
    media_type: MediaType
    stream: AsyncIterable[bytes]
    announced_size: int | None
    overhead: int = 0


@asynccontextmanager
async def aborted_on_error(
    application: Application, pools: ThreadPools, begin: Callable[[], T], session_of: Callable[[T], UploadSession]
) -> AsyncIterator[T]:
    """
    Begin an upload on the database pool; abort it on any error, cancellation included.
    """
    begun: list[T] = []
    try:
        # Appended on the pool's thread: a request that is cancelled meanwhile still has the upload to abort.
        await pools.database(lambda: begun.append(begin()))
        yield begun[0]
    except BaseException:
        for upload in begun:
            await abort(application, pools, session_of(upload))
        raise


async def receive(
    application: Application,
    pools: ThreadPools,
    file: IncomingFile,
    *,
    owner: UserId,
    digest: Callable[[memoryview], object] | None = None,
) -> UploadSession:
    """
    Receive a file's bytes into encrypted parts; the caller seals or aborts the upload.

    `digest`, if given, is called with the bytes in order. On any error, cancellation included, nothing remains of them.
    """
    begin_upload = application.vault.begin_upload
    begin = partial(
        begin_upload,
        owner=owner,
        name=file.name,
        media_type=file.media_type,
        announced_size=file.announced_size,
        overhead=file.overhead,
        reports_final_size=True,
    )
    async with aborted_on_error(application, pools, begin, lambda session: session) as session:

        def report_size(size: int) -> None:
            session.expected_size = size

        sink = ConcurrentSink(pools, application.vault.store_part, session, digest)
        await PartPipeline(
            sink,
            pools.limits.memory,
            check_size=begin_upload.policy.check_size,
            part_size=begin_upload.part_size,
            announced_size=file.announced_size,
        ).run(file.stream, on_end=report_size)
        await sink.complete()
    return session


async def digest_body(
    application: Application, pools: ThreadPools, file: IncomingFile, *, digest: Callable[[memoryview], object]
) -> None:
    """
    Call `digest` with a file's bytes in order, within the same limits; nothing is stored.
    """
    begin_upload = application.vault.begin_upload
    begin_upload.policy.check_name(file.name)
    await PartPipeline(
        SequentialSink(pools, digest),
        pools.limits.memory,
        check_size=begin_upload.policy.check_size,
        part_size=begin_upload.part_size,
        announced_size=file.announced_size,
    ).run(file.stream)


async def abort(application: Application, pools: ThreadPools, session: UploadSession) -> None:
    """
    Abort an upload and delete what it stored; on failure, retry until it succeeds.

    Until then it holds its owner's quota, so it is not left to the sweep (`NON_RESUMABLE_IDLE_MINUTES`).
    """
    try:
        await pools.transfer.run_without_limit(application.vault.abort_upload, session)
    except SftError as error:
        log.warning("upload %s could not be removed now: %s", session.file.id, error.code)
        pools.retry_queue.submit(partial(application.vault.abort_upload, session))
