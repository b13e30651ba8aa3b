"""
Bytes of one request into a resumable upload.
"""

from __future__ import annotations

import hmac

from falcon.asgi import Request

from sft_core.application import Application
from sft_core.vault.use_cases import UploadSession
from sft_http.asgi.exchange import require_whole_body
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.errors import ChecksumMismatch
from sft_http.headers.tus import Checksum, Digest
from sft_http.transfers.part_pipeline import PartPipeline
from sft_http.transfers.part_sink import ConcurrentSink


async def append(
    application: Application,
    pools: ThreadPools,
    session: UploadSession,
    req: Request,
    *,
    part_size: int,
    checksum: Checksum | None,
) -> None:
    """
    Append a request's body to an upload; when the call returns, every byte of it is durable and recorded.

    If the body breaks off, what has arrived of it is kept. With a checksum nothing is kept then, because it can no
    longer be verified.

    Raises:
        ChecksumMismatch: the body does not have the checksum; nothing of it is kept.
    """
    received, store_part = session.received, application.vault.store_part
    digest = None if checksum is None else checksum.new_digest()
    session.is_provisional = digest is not None
    sink = ConcurrentSink(pools, store_part, session, None if digest is None else digest.update)
    pipeline = PartPipeline(
        sink,
        pools.limits.memory,
        check_size=lambda size: store_part.require_size(session, received + size),
        # A request with a short body needs no large buffer.
        part_size=max(1, min(part_size, part_size if req.content_length is None else req.content_length)),
        keeps_received=digest is None,
    )
    if checksum is None or digest is None:
        await pipeline.run(req.stream)
        await require_whole_body(req)
        return
    try:
        await pipeline.run(req.stream)
        await require_whole_body(req)
        _verify(digest, checksum)
    except BaseException:
        await sink.discard()
        raise
    # Not under the handler: an error out of a commit leaves the outcome unknown, and parts that the
    # manifest may refer to are never deleted because of it.
    await sink.record()


def _verify(digest: Digest, checksum: Checksum) -> None:
    if not hmac.compare_digest(digest.digest(), checksum.expected):
        raise ChecksumMismatch
