"""
Complete operations on an S3 server, with each request in turn broken, refused or answered wrongly.

Each operation runs once to count its requests, and then once for each request and each fault that affects
it. What was acknowledged is stored, what is stored was sent, and the error is an SftError; once the server
works again the operation succeeds, and one sweep leaves no trace. One wrong response is excluded because
no store can detect it: a put that is acknowledged correctly but was not done (the reader finds it later).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress

import pytest

from sft_adapters.minio.blobs import MinioBlobs
from sft_adapters.minio.buckets import ensure_bucket
from sft_adapters.minio.client import open_client
from sft_core.errors import BlobStoreUnavailable, Damaged
from sft_core.values import Secret
from sft_core.vault.ports import Buffer
from sft_http.problems import status_of
from support.app.vault_under_test import vault_under_test
from support.faults import s3_proxy
from support.faults.operations import OPERATIONS, Operation, StoreSmallFile
from support.faults.s3_proxy import Fault, S3Proxy, faulty, refusal
from support.faults.s3_timeouts import short_timeouts
from support.servers.backends import S3

ERROR_IN_A_GOOD_STATUS = refusal("200 OK", "InternalError")
BROKEN: tuple[Fault, ...] = (
    s3_proxy.reset_after_head,
    s3_proxy.reset_after_commit,
    refusal("500 Internal Server Error", "InternalError"),
    s3_proxy.cut_short,
    s3_proxy.deleted_nothing,
    s3_proxy.reset_after_response_head,
    ERROR_IN_A_GOOD_STATUS,
    s3_proxy.foreign,
    refusal("503 Slow Down", "SlowDown"),
    s3_proxy.found_nothing,
    s3_proxy.reset_within_body,
    s3_proxy.another_etag,
    s3_proxy.close_without_response,
    s3_proxy.another_total,
    s3_proxy.stall_after_commit,
)
LIMITED_TO: dict[Fault, set[str]] = {
    s3_proxy.another_etag: {"GET", "HEAD", "PUT"},
    s3_proxy.another_total: {"GET"},
    s3_proxy.cut_short: {"GET", "LIST"},
    s3_proxy.deleted_nothing: {"DELETE"},
    s3_proxy.foreign: {"GET", "LIST"},
    s3_proxy.found_nothing: {"HEAD", "DELETE", "LIST"},
    s3_proxy.reset_within_body: {"PUT"},
}
"""Kinds of request to which a fault is limited; for others it is no fault, or equals another one."""
WRONG_RESPONSES: frozenset[Fault] = frozenset({s3_proxy.foreign, s3_proxy.another_total, ERROR_IN_A_GOOD_STATUS})
SILENT: frozenset[Fault] = frozenset({s3_proxy.stall_after_commit})
MANY = 6
EVERY = 5


class IgnoresFailedPuts(MinioBlobs):
    """
    A put without a successful response counts as done.
    """

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        with suppress(BlobStoreUnavailable):
            super().put(key, pieces, size=size)


class Server:
    """
    A vault on a bucket, behind a connection that can be broken.
    """

    def __init__(self, s3: S3, proxy: S3Proxy, bucket: str, kind: type[MinioBlobs] = MinioBlobs) -> None:
        self.proxy = proxy
        self.client = open_client(
            endpoint=proxy.endpoint,
            access_key=s3.access_key,
            secret_key=Secret(s3.secret_key.encode()),
            region=s3.region,
            secure=False,
            connections=2,
        )
        ensure_bucket(self.client, bucket)
        self.store = kind(self.client, bucket)
        self.vault = vault_under_test(lambda _clock: self.store)

    def prepared(self, kind: type[Operation]) -> Operation:
        """
        An operation on an empty bucket, prepared but not started.
        """
        for blob in list(self.store.list()):
            self.store.delete(blob.key)
        return kind.prepared(self.vault)


@pytest.fixture
def server(s3: S3, bucket: str) -> Iterator[Server]:
    with faulty(s3) as proxy:
        server = Server(s3, proxy, bucket)
        yield server
        server.client.close()


def kind_of(request: str) -> str:
    """
    A request's method, or LIST for a listing.
    """
    method, target = request.split()
    return "LIST" if method == "GET" and "/" not in target.strip("/") else method


def faults_of(nth: int, requests: Sequence[str]) -> tuple[Fault, ...]:
    """
    The faults of the N-th of these requests: all that apply to it, or every fifth in a long operation.
    """
    some = BROKEN if len(requests) < MANY else BROKEN[nth % EVERY :: EVERY]
    kind = kind_of(requests[nth - 1])
    return tuple(fault for fault in some if kind in LIMITED_TO.get(fault, {kind}))


def requests_of(server: Server, kind: type[Operation]) -> Sequence[str]:
    """
    The requests of a successful operation.
    """
    operation = server.prepared(kind)
    server.proxy.arm()
    operation.run()
    assert operation.is_done
    return tuple(server.proxy.requests)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_broken_request_loses_nothing_acknowledged(server: Server, kind: type[Operation]) -> None:
    """Each request of every operation meets each fault, and the guarantees hold."""
    requests = requests_of(server, kind)
    assert len(requests) > 1
    for nth in range(1, len(requests) + 1):
        for fault in faults_of(nth, requests):
            operation = server.prepared(kind)
            server.proxy.arm(fault, nth)
            with short_timeouts(server.store) if fault in SILENT else nullcontext():
                error = operation.try_run()
            broken = server.proxy.broken
            server.proxy.arm()
            assert broken
            if error is not None:
                expected = (BlobStoreUnavailable, Damaged) if fault in WRONG_RESPONSES else BlobStoreUnavailable
                assert isinstance(error, expected)
                assert status_of(error) in {500, 503}
            server.vault.check()
            operation.recover()


def test_harness_finds_a_store_that_ignores_failed_puts(s3: S3, bucket: str) -> None:
    """The harness detects a store that ignores a failed put."""
    with faulty(s3) as proxy:
        server = Server(s3, proxy, bucket, IgnoresFailedPuts)
        with pytest.raises(AssertionError):
            test_broken_request_loses_nothing_acknowledged(server, StoreSmallFile)
        server.client.close()
