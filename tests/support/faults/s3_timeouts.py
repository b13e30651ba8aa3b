"""
An S3 client with short timeouts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sft_adapters.minio.blobs import MinioBlobs


@contextmanager
def short_timeouts(store: MinioBlobs) -> Iterator[None]:
    """
    Limit this thread's calls inside the block to a fifth of a second per read and half a second in total.
    """
    deadlines = store.client.transport.deadlines
    before = deadlines.wait_seconds, deadlines.call_seconds
    deadlines.wait_seconds, deadlines.call_seconds = 0.2, 0.5
    try:
        yield
    finally:
        deadlines.wait_seconds, deadlines.call_seconds = before
