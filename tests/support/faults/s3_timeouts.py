"""
A client of an S3 server that does not wait for long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sft_adapters.minio.blobs import MinioBlobs


@contextmanager
def short_timeouts(store: MinioBlobs) -> Iterator[None]:
    """
    Inside the block this thread's calls wait a fifth of a second, and take half a second in all.
    """
    deadlines = store.client.transport.deadlines
    before = deadlines.wait_seconds, deadlines.call_seconds
    deadlines.wait_seconds, deadlines.call_seconds = 0.2, 0.5
    try:
        yield
    finally:
        deadlines.wait_seconds, deadlines.call_seconds = before
