"""
Whole operations on an S3 server, of which one request after the other breaks, is refused or is lied to.

Each operation is done once to count its requests, then anew for each request and each fault that makes
a difference to it. What was acknowledged is there, what is there was sent, the error is one of ours; and
as soon as the server is well again the operation can be done, and one sweep leaves no trace. The one lie
against which nothing helps is left out: a put that is acknowledged as it should be, and was not done
(`found by the reader, later`).
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
ONLY_OF: dict[Fault, set[str]] = {
    s3_proxy.another_etag: {"GET", "HEAD", "PUT"},
    s3_proxy.another_total: {"GET"},
    s3_proxy.cut_short: {"GET", "LIST"},
    s3_proxy.deleted_nothing: {"DELETE"},
    s3_proxy.foreign: {"GET", "LIST"},
    s3_proxy.found_nothing: {"HEAD", "DELETE", "LIST"},
    s3_proxy.reset_within_body: {"PUT"},
}
"""Faults that are none, or another one again, where such a request is answered."""
LIES: frozenset[Fault] = frozenset({s3_proxy.foreign, s3_proxy.another_total, ERROR_IN_A_GOOD_STATUS})
SILENT: frozenset[Fault] = frozenset({s3_proxy.stall_after_commit})
MANY = 6
EVERY = 5


class Credulous(MinioBlobs):
    """
    A put that got no good answer is taken for one that did.
    """

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        with suppress(BlobStoreUnavailable):
            super().put(key, pieces, size=size)


class Server:
    """
    A world on a bucket, behind a line that can be broken.
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
        An operation on an empty bucket, prepared and not begun.
        """
        for blob in list(self.store.list()):
            self.store.delete(blob.key)
        return kind.prepared(self.vault)


@pytest.fixture
def server(s3: S3, bucket: str) -> Iterator[Server]:
    with faulty(s3) as proxy:
        made = Server(s3, proxy, bucket)
        yield made
        made.client.close()


def kind_of(request: str) -> str:
    """
    A request's method; a listing is a kind of its own.
    """
    method, target = request.split()
    return "LIST" if method == "GET" and "/" not in target.strip("/") else method


def met(nth: int, requests: Sequence[str]) -> tuple[Fault, ...]:
    """
    What the N-th of these requests meets: all that breaks it, or in a long operation every fifth.
    """
    some = BROKEN if len(requests) < MANY else BROKEN[nth % EVERY :: EVERY]
    kind = kind_of(requests[nth - 1])
    return tuple(fault for fault in some if kind in ONLY_OF.get(fault, {kind}))


def requests_of(server: Server, kind: type[Operation]) -> Sequence[str]:
    """
    The requests that an operation makes that goes well.
    """
    operation = server.prepared(kind)
    server.proxy.arm()
    operation.run()
    assert operation.is_done
    return tuple(server.proxy.requests)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_whichever_request_breaks_and_however_nothing_told_is_lost(server: Server, kind: type[Operation]) -> None:
    """Every request of every operation is broken."""
    requests = requests_of(server, kind)
    assert len(requests) > 1
    for nth in range(1, len(requests) + 1):
        for fault in met(nth, requests):
            operation = server.prepared(kind)
            server.proxy.arm(fault, nth)
            with short_timeouts(server.store) if fault in SILENT else nullcontext():
                error = operation.try_run()
            broken = server.proxy.broken
            server.proxy.arm()
            assert broken
            if error is not None:
                told = (BlobStoreUnavailable, Damaged) if fault in LIES else BlobStoreUnavailable
                assert isinstance(error, told)
                assert status_of(error) in {500, 503}
            server.vault.check()
            operation.recover()


def test_the_harness_finds_a_store_that_believes_too_much(s3: S3, bucket: str) -> None:
    """A put whose failure is passed over is found out."""
    with faulty(s3) as proxy:
        server = Server(s3, proxy, bucket, Credulous)
        with pytest.raises(AssertionError):
            test_whichever_request_breaks_and_however_nothing_told_is_lost(server, StoreSmallFile)
        server.client.close()
