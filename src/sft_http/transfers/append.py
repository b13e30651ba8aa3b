"""
Bytes of one request into a resumable upload.
"""

from __future__ import annotations

from functools import partial

from falcon.asgi import Request

from sft_core.application import Application
from sft_core.vault.use_cases import UploadSession
from sft_http.asgi.exchange import require_whole_body
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.headers.tus import parse_checksum
from sft_http.transfers.part_pipeline import ConcurrentSink, PartPipeline


async def append(application: Application, pools: ThreadPools, session: UploadSession, req: Request) -> None:
    """
    Append a request's body to an upload; on return every byte is durable and recorded.

    If the body breaks off, what has arrived of it is kept. With an Upload-Checksum nothing is kept then, because it can
    no longer be verified. Raises `ChecksumMismatch` if the body does not have the checksum; nothing of it is kept.
    """
    checksum = parse_checksum(req.get_header("Upload-Checksum"))
    received, store_part = session.received, application.vault.store_part
    session.is_provisional = checksum is not None
    sink = ConcurrentSink(pools, store_part, session, None if checksum is None else checksum.update)
    pipeline = PartPipeline(
        sink,
        pools.limits.memory,
        check_size=lambda size: store_part.require_size(session, received + size),
        part_size=application.vault.acquire_upload.part_size,
        announced_size=req.content_length,
        keeps_received=checksum is None,
    )
    try:
        await pipeline.run(req.stream)
        await require_whole_body(req)
        if checksum is not None:
            checksum.verify()
    except BaseException:
        if session.is_provisional:
            await sink.in_database(partial(store_part.discard, session))
        raise
    # Not under the handler: an error out of a commit leaves the outcome unknown, and parts that the
    # manifest may refer to are never deleted because of it.
    if session.is_provisional:
        await sink.in_database(partial(store_part.record, session))
