"""
A bucket of an S3 server, and clients of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sft_adapters.minio.blobs import MinioBlobs
from sft_adapters.minio.buckets import ensure_bucket
from sft_adapters.minio.client import S3Client, open_client
from sft_core.values import Secret
from support.faults.s3_proxy import S3Proxy, faulty
from support.servers.backends import S3

Opener = Callable[..., S3Client]


@pytest.fixture
def opened(s3: S3) -> Iterator[Opener]:
    """
    Creates clients of the test server, or of its proxy, and closes them at the end.
    """
    clients: list[S3Client] = []

    def make(**changes: Any) -> S3Client:
        options: dict[str, Any] = {
            "endpoint": s3.endpoint,
            "access_key": s3.access_key,
            "secret_key": Secret(s3.secret_key.encode()),
            "region": s3.region,
            "secure": s3.secure,
            "read_seconds": 10.0,
        }
        clients.append(open_client(**options | changes))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def blobs(opened: Opener, bucket: str) -> MinioBlobs:
    """
    An empty store on the real server.
    """
    client = opened()
    ensure_bucket(client, bucket)
    return MinioBlobs(client, bucket)


@pytest.fixture
def proxy(s3: S3) -> Iterator[S3Proxy]:
    """
    A connection to the real server that can be broken.
    """
    with faulty(s3) as between:
        yield between


@pytest.fixture
def broken(opened: Opener, proxy: S3Proxy, bucket: str) -> MinioBlobs:
    """
    An empty store behind the proxy, with two connections.
    """
    client = opened(endpoint=proxy.endpoint, secure=False, connections=2)
    ensure_bucket(client, bucket)
    return MinioBlobs(client, bucket)
