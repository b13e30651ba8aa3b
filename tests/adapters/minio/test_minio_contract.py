"""
Blobs in a bucket of a real S3 server pass the contract, with and without conditional writes.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from sft_adapters.minio.blobs import MinioBlobs
from sft_adapters.minio.buckets import ensure_bucket, supports_conditional_writes
from sft_adapters.minio.client import S3Client
from sft_adapters.testkit import contracts
from sft_core.errors import BlobStoreUnavailable, ConfigurationError
from sft_core.maintenance.store_identity import STORE_ID_NAME
from support.faults import s3_proxy
from support.faults.s3_proxy import S3Proxy

Opener = Callable[..., S3Client]


class TestMinioBlobs(contracts.BlobStoreContract):
    """
    Blobs on a server that ignores conditions: each put checks for the object first.
    """

    creates_atomically = False

    @pytest.fixture
    def other_blobs(self, opened: Opener, blobs: MinioBlobs) -> MinioBlobs:
        return MinioBlobs(opened(), blobs.bucket)


class TestMinioBlobsConditionally(contracts.BlobStoreContract):
    """
    Blobs on a server that honours `If-None-Match: *`: each put is one request.
    """

    @pytest.fixture
    def blobs(self, opened: Opener, proxy: S3Proxy, bucket: str) -> MinioBlobs:
        proxy.arm(s3_proxy.conditional)
        client = opened(endpoint=proxy.endpoint, secure=False)
        ensure_bucket(client, bucket)
        return MinioBlobs(client, bucket, conditional_writes=supports_conditional_writes(client, bucket))

    @pytest.fixture
    def other_blobs(self, opened: Opener, proxy: S3Proxy, blobs: MinioBlobs) -> MinioBlobs:
        return attrs.evolve(blobs, client=opened(endpoint=proxy.endpoint, secure=False))

    def test_conditional_writes_are_detected(self, blobs: MinioBlobs, proxy: S3Proxy) -> None:
        """The probe detects conditional writes and leaves nothing behind, and puts do not check first."""
        assert blobs.conditional_writes
        assert list(blobs.client.minio.list_objects(blobs.bucket)) == []
        proxy.arm(s3_proxy.conditional)
        blobs.put("aa/1", [b"x"], size=1)
        assert proxy.requests == [f"PUT /{blobs.bucket}/aa/1"]


class TestMinioStoreIdentity(contracts.IdentifiedBlobStoreContract):
    """
    The store identity on a server that ignores conditions.
    """

    creates_atomically = False

    @pytest.fixture
    def other_blobs(self, opened: Opener, blobs: MinioBlobs) -> MinioBlobs:
        return MinioBlobs(opened(), blobs.bucket)


class TestMinioStoreIdentityConditionally(contracts.IdentifiedBlobStoreContract):
    """
    The store identity on a server that honours `If-None-Match: *`.
    """

    @pytest.fixture
    def blobs(self, opened: Opener, proxy: S3Proxy, bucket: str) -> MinioBlobs:
        proxy.arm(s3_proxy.conditional)
        client = opened(endpoint=proxy.endpoint, secure=False)
        ensure_bucket(client, bucket)
        return MinioBlobs(client, bucket, conditional_writes=True)

    @pytest.fixture
    def other_blobs(self, opened: Opener, proxy: S3Proxy, blobs: MinioBlobs) -> MinioBlobs:
        return attrs.evolve(blobs, client=opened(endpoint=proxy.endpoint, secure=False))


@pytest.mark.parametrize("status", ["400 Bad Request", "501 Not Implemented"])
def test_server_that_refuses_conditions_is_detected(broken: MinioBlobs, proxy: S3Proxy, status: str) -> None:
    """If a conditional put is an error, puts check first, and the start still succeeds."""
    proxy.arm(s3_proxy.refusal(status, "NotImplemented"), 2)
    assert not supports_conditional_writes(broken.client, broken.bucket)
    assert list(broken.client.minio.list_objects(broken.bucket)) == []


def test_server_that_ignores_conditions_is_detected(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """If the second of two equal conditional puts succeeds, puts check first."""
    proxy.arm(s3_proxy.answer("200 OK", ETag='"0123"'))
    assert not supports_conditional_writes(broken.client, broken.bucket)


@pytest.mark.parametrize("nth", [1, 2])
def test_keys_without_write_permission_are_reported(broken: MinioBlobs, proxy: S3Proxy, nth: int) -> None:
    """A bucket that can be listed but not written to is reported at the start, by the setting's name."""
    proxy.arm(s3_proxy.refusal("403 Forbidden", "AccessDenied"), nth)
    with pytest.raises(ConfigurationError, match="MINIO_ACCESS_KEY cannot write"):
        supports_conditional_writes(broken.client, broken.bucket)


def test_failed_probe_raises(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """A busy server is not taken for unconditional, and the start may be retried."""
    proxy.arm(s3_proxy.refusal("503 Slow Down", "SlowDown"))
    with pytest.raises(BlobStoreUnavailable):
        supports_conditional_writes(broken.client, broken.bucket)


@pytest.mark.parametrize("content", [b"", b"short", b"0" * 32, b"0" * 33, b"0" * 34])
def test_invalid_store_id_matches_no_database(blobs: MinioBlobs, content: bytes) -> None:
    """An invalid store id differs from a missing one, matches no database, and is not replaced."""
    blobs.client.put(blobs.bucket, STORE_ID_NAME, [content], size=len(content), create_only=False)
    assert blobs.store_id() == blobs.set_store_id("f" * 32) == ""
    assert list(blobs.list()) == []


@pytest.mark.parametrize(
    "fault",
    [
        s3_proxy.reset_after_head,
        s3_proxy.close_without_response,
        s3_proxy.cut_short,
        s3_proxy.refusal("500 Internal Server Error", "InternalError"),
        s3_proxy.refusal("403 Forbidden", "AccessDenied"),
        s3_proxy.answer("404 Not Found", "<html><p>Nothing here.</html>", "text/html"),
    ],
)
def test_unreadable_store_id_is_not_taken_for_none(broken: MinioBlobs, proxy: S3Proxy, fault: s3_proxy.Fault) -> None:
    """A temporary failure does not let another database take the store."""
    store_id = broken.set_store_id("0" * 32)
    proxy.arm(fault)
    with pytest.raises(BlobStoreUnavailable):
        broken.set_store_id("f" * 32)
    proxy.arm()
    assert broken.store_id() == store_id
