"""
Start-up with an S3 server: the bucket is created, and a wrong setting is named.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sft_adapters.minio.blobs import MinioBlobs
from sft_adapters.minio.buckets import ensure_bucket
from sft_adapters.minio.client import S3Client, open_client
from sft_adapters.testkit.contracts.blobs import KEY, put, read
from sft_adapters.testkit.contracts.examples import race
from sft_core.errors import BlobStoreUnavailable, ConfigurationError, SftError
from sft_core.values import Secret
from support.faults import s3_proxy
from support.faults.s3_proxy import Fault, S3Proxy, answer, faulty, refusal
from support.servers.backends import S3
from support.servers.processes import free_port

Opener = Callable[..., S3Client]

GOOD: dict[str, Any] = {"endpoint": "s3.example.org", "access_key": "someone", "secret_key": Secret(b"something")}


def test_bucket_is_created_once(opened: Opener, bucket: str) -> None:
    """Twelve concurrent starts all succeed, and the bucket keeps its content."""
    client = opened()
    race(lambda: ensure_bucket(client, bucket))
    put(MinioBlobs(client, bucket), KEY, b"x")
    ensure_bucket(client, bucket)
    assert [info.key for info in MinioBlobs(client, bucket).list()] == [KEY]


def test_bucket_is_private(opened: Opener, bucket: str, s3: S3) -> None:
    """A request without a key can neither list nor read."""
    client = opened()
    ensure_bucket(client, bucket)
    put(MinioBlobs(client, bucket), KEY, b"x")
    base = f"{'https' if s3.secure else 'http'}://{s3.endpoint}/{bucket}"
    with urllib3.PoolManager() as anonymous:
        for url in (f"{base}/{KEY}", f"{base}/"):
            assert anonymous.request("GET", url).status >= 400


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"endpoint": "http://s3.example.org"}, "MINIO_ENDPOINT"),
        ({"endpoint": "s3.example.org/bucket"}, "MINIO_ENDPOINT"),
        ({"endpoint": "s3.example.org?x=y"}, "MINIO_ENDPOINT"),
        ({"endpoint": "someone:something@s3.example.org"}, "MINIO_ENDPOINT"),
        ({"endpoint": "s3.example.org:0"}, "MINIO_ENDPOINT"),
        ({"endpoint": "s3.example.org:65536"}, "MINIO_ENDPOINT"),
        ({"endpoint": "s3.example.org:"}, "MINIO_ENDPOINT"),
        ({"endpoint": "s3 .example.org"}, "MINIO_ENDPOINT"),
        ({"endpoint": "s3..example.org"}, "MINIO_ENDPOINT"),
        ({"endpoint": "nowhere.amazonaws.com"}, "MINIO_ENDPOINT"),
        ({"endpoint": "s3.example.org\r\nX: y"}, "MINIO_ENDPOINT"),
        ({"endpoint": "::1:9000"}, "MINIO_ENDPOINT"),
        ({"endpoint": ""}, "MINIO_ENDPOINT"),
        ({"access_key": ""}, "MINIO_ACCESS_KEY"),
        ({"access_key": "some one"}, "MINIO_ACCESS_KEY"),
        ({"access_key": "someone\n"}, "MINIO_ACCESS_KEY"),
        ({"secret_key": Secret(b"")}, "MINIO_SECRET_KEY"),
        ({"secret_key": Secret(b"some\xffthing")}, "MINIO_SECRET_KEY"),
        ({"region": ""}, "MINIO_REGION"),
        ({"region": "Frankfurt am Main"}, "MINIO_REGION"),
        ({"ca_file": "/nowhere/ca.pem"}, "MINIO_CA_FILE"),
        ({"ca_file": __file__}, "MINIO_CA_FILE"),
    ],
)
def test_malformed_setting_is_named(changes: dict[str, Any], name: str) -> None:
    """The setting is refused before any request, and the error does not contain its value."""
    with pytest.raises(ConfigurationError, match=name) as caught:
        open_client(**GOOD | changes)
    assert "someth" not in caught.value.detail
    assert "someone" not in caught.value.detail


@pytest.mark.parametrize("endpoint", ["s3.example.org", "localhost:9000", "10.0.0.1:9000", "[::1]:9000", "minio"])
def test_endpoint_is_a_host_and_optional_port(endpoint: str) -> None:
    """Host names and addresses of every kind are accepted, without connecting."""
    open_client(**GOOD | {"endpoint": endpoint}).close()


@pytest.mark.parametrize("bucket", ["", "ab", "A-bucket", "a_bucket", "a..b", "10.0.0.1", "a" * 64, "../up", "a/b"])
def test_malformed_bucket_is_named(opened: Opener, bucket: str) -> None:
    """A bucket name that no S3 server accepts is refused without a request."""
    with pytest.raises(ConfigurationError, match="MINIO_BUCKET_NAME"):
        ensure_bucket(opened(), bucket)


@pytest.mark.parametrize(
    "changes", [{"access_key": "sft-nobodys-key"}, {"secret_key": Secret(b"somebody-elses")}], ids=["access", "secret"]
)
def test_wrong_keys_are_reported(opened: Opener, bucket: str, changes: dict[str, Any]) -> None:
    """A real server's refusal names the setting and quotes neither key nor server."""
    with pytest.raises(ConfigurationError, match=r"MINIO_(ACCESS|SECRET)_KEY") as caught:
        ensure_bucket(opened(**changes), bucket)
    assert caught.value.__cause__ is None
    for word in ("sft-nobodys-key", "somebody-elses", "sft-access-key", "Signature="):
        assert word not in caught.value.detail


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (refusal("403 Forbidden", "AccessDenied"), ConfigurationError, "MINIO_ACCESS_KEY"),
        (refusal("403 Forbidden", "InvalidAccessKeyId"), ConfigurationError, "MINIO_ACCESS_KEY"),
        (refusal("403 Forbidden", "SignatureDoesNotMatch"), ConfigurationError, "MINIO_SECRET_KEY"),
        (refusal("403 Forbidden", "RequestTimeTooSkewed"), ConfigurationError, "clocks"),
        (refusal("400 Bad Request", "AuthorizationHeaderMalformed"), ConfigurationError, "MINIO_REGION"),
        (refusal("301 Moved Permanently", "PermanentRedirect"), ConfigurationError, "MINIO_REGION"),
        (refusal("400 Bad Request", "SomethingElse"), ConfigurationError, "MINIO_BUCKET_NAME.*SomethingElse"),
        (answer("200 OK", "<html><p>Welcome!</html>", "text/html"), ConfigurationError, "MINIO_ENDPOINT"),
        (answer("200 OK", "<html/>", "text/html"), ConfigurationError, "MINIO_ENDPOINT"),
        (answer("404 Not Found", "<html>", "text/html"), ConfigurationError, "MINIO_ENDPOINT"),
        (answer("400 Bad Request", "plain HTTP to a TLS port", "text/plain"), ConfigurationError, "MINIO_SECURE"),
        (s3_proxy.entities, ConfigurationError, "MINIO_ENDPOINT"),
        (answer("502 Bad Gateway", "<html>", "text/html"), BlobStoreUnavailable, "502"),
        (refusal("503 Slow Down", "SlowDown"), BlobStoreUnavailable, "SlowDown"),
        (s3_proxy.reset_after_head, BlobStoreUnavailable, "was closed before the end"),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_unusable_server_is_reported(
    opened: Opener, proxy: S3Proxy, bucket: str, fault: Fault, error: type[SftError], words: str
) -> None:
    """A fault of a setting is a configuration error, a temporary failure is BlobStoreUnavailable."""
    proxy.arm(fault)
    with pytest.raises(error, match=words) as caught:
        ensure_bucket(opened(endpoint=proxy.endpoint, secure=False), bucket)
    assert "secret text" not in caught.value.detail


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDenied", "MINIO_ACCESS_KEY"),
        ("BucketAlreadyExists", "MINIO_BUCKET_NAME belongs to another account"),
        ("InvalidBucketName", "MINIO_BUCKET_NAME"),
        ("IllegalLocationConstraintException", "MINIO_REGION"),
        ("TooManyBuckets", "MINIO_BUCKET_NAME.*TooManyBuckets"),
    ],
)
def test_bucket_creation_failure_is_reported(
    opened: Opener, proxy: S3Proxy, bucket: str, code: str, words: str
) -> None:
    """The bucket does not exist, and the server refuses its creation."""
    proxy.arm(refusal("403 Forbidden", code), 2)
    with pytest.raises(ConfigurationError, match=words):
        ensure_bucket(opened(endpoint=proxy.endpoint, secure=False), bucket)
    assert [request.split()[0] for request in proxy.requests][:2] == ["GET", "PUT"]


def test_server_that_is_down_is_unavailable(opened: Opener, bucket: str) -> None:
    """The start may be retried, and no setting is blamed."""
    with pytest.raises(BlobStoreUnavailable):
        ensure_bucket(opened(endpoint=f"127.0.0.1:{free_port()}", secure=False), bucket)


def test_no_redirect_is_followed(opened: Opener, proxy: S3Proxy, s3: S3, bucket: str) -> None:
    """Signed requests go to the configured server only."""
    client = opened(endpoint=proxy.endpoint, secure=False)
    ensure_bucket(client, bucket)
    store = MinioBlobs(client, bucket)
    with faulty(s3) as elsewhere:
        for status in ("301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
            proxy.arm(answer(status, Location=f"http://{elsewhere.endpoint}/{bucket}/{KEY}"))
            with pytest.raises(BlobStoreUnavailable):
                put(store, KEY, b"x")
            with pytest.raises(BlobStoreUnavailable):
                read(store, KEY, 0, 1, size=1)
            with pytest.raises(BlobStoreUnavailable):
                list(store.list())
        assert elsewhere.requests == []


# --- TLS ---------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """
    A file with a key and a self-signed certificate for 127.0.0.1.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_tls_is_verified(opened: Opener, s3: S3, bucket: str, certificate: Path) -> None:
    """A certificate of an unknown issuer is refused, and one named by the setting is accepted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with faulty(s3, tls=context) as proxy:
        with pytest.raises(ConfigurationError, match=r"MINIO_CA_FILE"):
            ensure_bucket(opened(endpoint=proxy.endpoint, secure=True), bucket)
        with pytest.raises(BlobStoreUnavailable):
            put(MinioBlobs(opened(endpoint=proxy.endpoint, secure=True), bucket), KEY, b"x")
        assert proxy.requests == []
        trusting_client = opened(endpoint=proxy.endpoint, secure=True, ca_file=str(certificate))
        ensure_bucket(trusting_client, bucket)
        store = MinioBlobs(trusting_client, bucket)
        store.put(KEY, [bytes(100_000)] * 3, size=300_000)
        assert read(store, KEY, 1, 299_999, size=300_000) == bytes(299_999)


def test_tls_to_a_plain_server_is_reported(opened: Opener, proxy: S3Proxy, bucket: str) -> None:
    """The error names MINIO_SECURE."""
    with pytest.raises(ConfigurationError, match="MINIO_SECURE"):
        ensure_bucket(opened(endpoint=proxy.endpoint, secure=True), bucket)


# --- secrets -----------------------------------------------------------------------------------


def test_secret_key_is_never_shown(
    opened: Opener, proxy: S3Proxy, s3: S3, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The secret key is in no `repr` and no debug log, on success and on failure."""
    caplog.set_level(logging.DEBUG)
    client = opened(endpoint=proxy.endpoint, secure=False)
    ensure_bucket(client, bucket)
    store = MinioBlobs(client, bucket)
    put(store, KEY, b"x")
    proxy.arm(refusal("403 Forbidden", "SignatureDoesNotMatch"))
    with pytest.raises(BlobStoreUnavailable) as caught:
        put(store, KEY, b"x")
    shown = f"{store!r} {client!r} {caught.value!r} {caplog.text}"
    assert caplog.text
    for word in (s3.secret_key, "Signature="):
        assert word not in shown
