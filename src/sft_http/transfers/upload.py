"""
Bytes from clients into the vault, without a thread held for a slow one.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator
from functools import partial
from typing import Final

from sft_core.application import Application
from sft_core.errors import SftError
from sft_core.values import FileName, MediaType, UserId
from sft_core.vault.use_cases import UploadSession
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.transfers.idempotency import ContentDigest
from sft_http.transfers.part_pipeline import PartPipeline
from sft_http.transfers.part_sink import ConcurrentSink, SequentialSink

log: Final = logging.getLogger("sft.transfers")


async def receive(
    application: Application,
    pools: ThreadPools,
    *,
    owner: UserId,
    name: FileName,
    media_type: MediaType,
    stream: AsyncIterable[bytes],
    announced_size: int | None,
    overhead: int,
    part_size: int,
    content_digest: ContentDigest | None = None,
) -> UploadSession:
    """
    Receive a file's bytes from a stream into encrypted parts; the caller seals or aborts the upload.

    The announced size may exceed the file's by up to `overhead` bytes. `content_digest`, if given, digests the body.
    On any error, cancellation included, the upload is aborted and nothing of it remains.
    """
    session: UploadSession | None = None

    def begin() -> None:
        # Assigned on the pool's thread: a request that is cancelled meanwhile still has the upload to abort.
        nonlocal session
        session = application.vault.begin_upload(
            owner=owner,
            name=name,
            media_type=media_type,
            announced_size=announced_size,
            overhead=overhead,
            reports_final_size=True,
        )

    try:
        await pools.database(begin)
        assert session is not None  # noqa: S101 (begin() returned, so it was assigned)
        sink = ConcurrentSink(
            pools, application.vault.store_part, session, None if content_digest is None else content_digest.add
        )
        await PartPipeline(
            sink,
            pools.limits.memory,
            check_size=application.vault.begin_upload.policy.check_size,
            part_size=_buffer_size(part_size, announced_size),
        ).run(_reporting_size(stream, session))
        await sink.complete()
    except BaseException:
        if session is not None:
            await abort(application, pools, session)
        raise
    return session


async def _reporting_size(stream: AsyncIterable[bytes], session: UploadSession) -> AsyncIterator[bytes]:
    """
    The same stream; it sets the session's size once all of it has arrived, before the last part is stored.
    """
    size = 0
    async for piece in stream:
        size += len(piece)
        yield piece
    session.expected_size = size


def _buffer_size(part_size: int, announced_size: int | None) -> int:
    """
    A part's size, or less: a buffer for megabytes costs more than a small file does.
    """
    return part_size if announced_size is None else max(1, min(part_size, announced_size))


async def digest_body(
    application: Application,
    pools: ThreadPools,
    *,
    name: FileName,
    stream: AsyncIterable[bytes],
    announced_size: int | None,
    part_size: int,
    content_digest: ContentDigest,
) -> None:
    """
    Digest a file's bytes from a stream, within the same limits; nothing is stored.
    """
    policy = application.vault.begin_upload.policy
    policy.check_name(name)
    await PartPipeline(
        SequentialSink(pools, content_digest.add),
        pools.limits.memory,
        check_size=policy.check_size,
        part_size=_buffer_size(part_size, announced_size),
    ).run(stream)


async def abort(application: Application, pools: ThreadPools, session: UploadSession) -> None:
    """
    Abort an upload and delete what it stored; if that fails now, it is retried until it succeeds.

    Until then it holds its owner's quota, so it is not left to the sweep, which comes later (`FORM_IDLE_MINUTES`).
    """
    try:
        await pools.transfer.run_without_limit(application.vault.abort_upload, session)
    except SftError as error:
        log.warning("upload %s could not be removed now: %s", session.file.id, error.code)
        pools.retry_queue.submit(partial(application.vault.abort_upload, session))
