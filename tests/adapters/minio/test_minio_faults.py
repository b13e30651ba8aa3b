"""
Blobs when the connection to the S3 server breaks, or the server refuses, sends wrong data, or is slow.
"""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial

import pytest

from sft_adapters.minio.blobs import MinioBlobs
from sft_adapters.minio.buckets import ensure_bucket
from sft_adapters.minio.client import S3Client
from sft_adapters.testkit.contracts.blobs import ELSEWHERE, KEY, OTHER, put, read
from sft_core.errors import (
    BlobExists,
    BlobMissing,
    BlobSizeMismatch,
    BlobStoreFull,
    BlobStoreUnavailable,
    Damaged,
    InvalidValue,
    SftError,
)
from sft_core.values import Secret
from support.faults import s3_proxy
from support.faults.s3_proxy import Fault, S3Proxy, answer, refusal
from support.faults.s3_timeouts import short_timeouts
from support.servers.backends import own_s3
from support.servers.processes import free_port

Opener = Callable[..., S3Client]

CONTENT = os.urandom(300_000)
SIZE = len(CONTENT)
MIB = 1 << 20

FAULTS: list[Fault] = [
    s3_proxy.reset_after_head,
    s3_proxy.reset_within_body,
    s3_proxy.reset_after_commit,
    s3_proxy.close_without_response,
    s3_proxy.stall,
    refusal("503 Slow Down", "SlowDown"),
    refusal("500 Internal Server Error", "InternalError"),
    refusal("507 Insufficient Storage", "XMinioStorageFull"),
    refusal("403 Forbidden", "AccessDenied"),
    refusal("200 OK", "InternalError"),
    refusal("404 Not Found", "NoSuchBucket"),
    refusal("307 Temporary Redirect", "TemporaryRedirect", Location="http://127.0.0.1:1/"),
    answer("200 OK", "<html><p>Welcome!</html>", "text/html"),
    answer("404 Not Found", "<html><p>Nothing here.</html>", "text/html"),
    answer("200 OK"),
    s3_proxy.refuse_early,
    s3_proxy.cut_short,
    s3_proxy.announced_short,
    s3_proxy.longer,
    s3_proxy.longer_than_announced,
    s3_proxy.foreign,
    s3_proxy.without_content_range,
    s3_proxy.another_range,
    s3_proxy.another_total,
    s3_proxy.nonsense_headers,
    s3_proxy.compressed,
    s3_proxy.whole_object,
]


# These faults end no response or never stop sending: only a timeout ends such a call.
SILENT: set[Fault] = {
    s3_proxy.stall,
    s3_proxy.endless_continues,
    s3_proxy.endless_pages,
    s3_proxy.nonsense_headers,
    s3_proxy.without_content_range,
}


def attempt(action: Callable[[], object], *allowed: type[SftError]) -> SftError | None:
    """
    The SftError that an action raised, if it is one of the permitted types; None on success.
    """
    expected: tuple[type[SftError], ...] = (BlobStoreUnavailable, BlobStoreFull, *allowed)
    try:
        action()
    except expected as error:
        return error
    return None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_blob_is_complete_or_absent_whichever_request_breaks(
    broken: MinioBlobs, blobs: MinioBlobs, proxy: S3Proxy, fault: Fault
) -> None:
    """Put, read, list and delete raise an SftError, and the next attempt succeeds."""
    put(blobs, OTHER, b"neighbour")
    nth = 0
    while True:
        nth += 1
        key = f"00{nth:04x}/1-{nth:08x}"
        proxy.arm(fault, nth)
        buffer = bytearray(100_000)
        with short_timeouts(broken) if fault in SILENT else nullcontext():
            failed_put = attempt(partial(put, broken, key, CONTENT))
            failed_read = attempt(partial(broken.read_into, key, 50_000, memoryview(buffer), size=SIZE), Damaged)
            failed_list = attempt(partial(list, broken.list(key)))
        triggered = proxy.broken
        listed = {info.key: info.size for info in blobs.list()}
        assert listed.get(key, SIZE) == SIZE
        assert listed[OTHER] == 9
        if key in listed:
            assert read(blobs, key, 0, SIZE, size=SIZE) == CONTENT
        if failed_put is None:
            assert key in listed
            assert failed_read or fault is s3_proxy.foreign or buffer == CONTENT[50_000:150_000]
            assert failed_read is None or failed_list is None  # one fault breaks one of them
        with short_timeouts(broken) if fault in SILENT else nullcontext():
            failed_delete = attempt(partial(broken.delete, key))
        if failed_delete is None:
            assert key not in {info.key for info in blobs.list()}
        triggered, seen = max(triggered, proxy.broken), len(proxy.requests)
        proxy.arm()
        put(broken, f"{key}-aa", CONTENT)
        assert read(broken, f"{key}-aa", 0, SIZE, size=SIZE) == CONTENT
        if not triggered:
            break
    assert nth > 4
    assert seen >= 4


# --- put ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [s3_proxy.reset_after_commit, s3_proxy.close_without_response])
def test_put_with_a_lost_response_is_in_doubt(broken: MinioBlobs, proxy: S3Proxy, fault: Fault) -> None:
    """An object that may have been stored is not put again nor reported as existing; it stays for the sweep."""
    proxy.arm(fault, 2)
    with pytest.raises(BlobStoreUnavailable):
        put(broken, KEY, CONTENT)
    assert [request.split()[0] for request in proxy.requests] == ["HEAD", "PUT"]
    proxy.arm()
    assert [info.key for info in broken.list(KEY.partition("/")[0])] == [KEY]
    with pytest.raises(BlobExists):
        put(broken, KEY, CONTENT)
    broken.delete(KEY)
    put(broken, KEY, CONTENT)


@pytest.mark.parametrize(
    "fault",
    [
        refusal("200 OK", "InternalError"),
        answer("200 OK", "<html>", "text/html", ETag='"0123"'),
        answer("200 OK"),
        answer("204 No Content", ETag="½"),
        s3_proxy.acknowledge_early,
    ],
    ids=lambda fault: fault.__name__,
)
def test_success_without_an_acknowledged_object_is_refused(broken: MinioBlobs, proxy: S3Proxy, fault: Fault) -> None:
    """An error in a success status, a page, a missing or odd ETag, and a response before the body are all refused."""
    proxy.arm(fault, 2)
    with pytest.raises(BlobStoreUnavailable):
        broken.put(KEY, iter([bytes(MIB)] * 8), size=8 * MIB)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        ("507 Insufficient Storage", "Whatever", BlobStoreFull),
        ("400 Bad Request", "XMinioStorageFull", BlobStoreFull),
        ("403 Forbidden", "QuotaExceeded", BlobStoreFull),
        ("412 Precondition Failed", "PreconditionFailed", BlobExists),
        ("409 Conflict", "ConditionalRequestConflict", BlobExists),
        ("404 Not Found", "NoSuchKey", BlobStoreUnavailable),
        ("404 Not Found", "NoSuchBucket", BlobStoreUnavailable),
        ("403 Forbidden", "SignatureDoesNotMatch", BlobStoreUnavailable),
        ("403 Forbidden", "RequestTimeTooSkewed", BlobStoreUnavailable),
        ("416 Range Not Satisfiable", "InvalidRange", BlobStoreUnavailable),
        ("503 Service Unavailable", "SlowDown", BlobStoreUnavailable),
    ],
)
def test_refused_put_names_the_reason(
    broken: MinioBlobs, proxy: S3Proxy, status: str, code: str, error: type[SftError]
) -> None:
    """Full, existing or unavailable: the detail contains the error code, not the server's text."""
    proxy.arm(refusal(status, code), 2)
    with pytest.raises(error) as caught:
        put(broken, KEY, CONTENT)
    assert type(caught.value) is error
    assert "secret text" not in caught.value.detail
    assert error is BlobExists or code in caught.value.detail


def test_refusal_before_the_body_is_read(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """A full server may refuse before it has read the body."""
    proxy.arm(s3_proxy.refuse_early, 2)
    with pytest.raises((BlobStoreFull, BlobStoreUnavailable)):
        broken.put(KEY, iter([bytes(MIB)] * 8), size=8 * MIB)


@pytest.mark.parametrize("error", [OSError("own"), TimeoutError("own"), ValueError("own"), KeyboardInterrupt("own")])
def test_error_of_the_pieces_is_raised_unchanged(blobs: MinioBlobs, error: BaseException) -> None:
    """An error raised by the pieces is raised unchanged, even of a type that connections raise too."""

    def pieces() -> Iterator[bytes]:
        yield CONTENT
        raise error

    with pytest.raises(type(error), match="own"):
        blobs.put(KEY, pieces(), size=SIZE + 1)
    with pytest.raises(type(error), match="own"):
        blobs.put(KEY, FailingPieces(error), size=SIZE)
    assert list(blobs.list()) == []


class FailingPieces:
    """
    An iterable of pieces whose iteration fails at once.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __iter__(self) -> Iterator[bytes]:
        raise self.error


# --- read --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (refusal("404 Not Found", "NoSuchKey"), BlobMissing),
        (refusal("404 Not Found", "NoSuchBucket"), BlobStoreUnavailable),
        (answer("404 Not Found", "<html>", "text/html"), BlobStoreUnavailable),
        (refusal("416 Range Not Satisfiable", "InvalidRange"), BlobSizeMismatch),
        (refusal("503 Slow Down", "SlowDown"), BlobStoreUnavailable),
        (refusal("403 Forbidden", "AccessDenied"), BlobStoreUnavailable),
        (answer("302 Found", Location="http://127.0.0.1:1/"), BlobStoreUnavailable),
        (answer("200 OK", "<html>", "text/html"), BlobSizeMismatch),
        (s3_proxy.cut_short, BlobStoreUnavailable),
        (s3_proxy.announced_short, BlobStoreUnavailable),
        (s3_proxy.without_content_range, BlobStoreUnavailable),
        (s3_proxy.another_range, BlobStoreUnavailable),
        (s3_proxy.another_end, BlobStoreUnavailable),
        (s3_proxy.another_total, BlobSizeMismatch),
        (s3_proxy.nonsense_headers, BlobStoreUnavailable),
        (s3_proxy.reset_after_head, BlobStoreUnavailable),
        (s3_proxy.stall, BlobStoreUnavailable),
        (s3_proxy.endless_continues, BlobStoreUnavailable),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_wrong_read_response_raises(broken: MinioBlobs, proxy: S3Proxy, fault: Fault, error: type[SftError]) -> None:
    """Each wrong response and each failure has one error, and the next read succeeds."""
    put(broken, KEY, CONTENT)
    proxy.arm(fault)
    with short_timeouts(broken) if fault in SILENT else nullcontext(), pytest.raises(error) as caught:
        read(broken, KEY, 1000, 100_000, size=SIZE)
    assert type(caught.value) is error
    proxy.arm()
    assert read(broken, KEY, 1000, 100_000, size=SIZE) == CONTENT[1000:101_000]


@pytest.mark.parametrize(
    "fault",
    [s3_proxy.whole_object, s3_proxy.compressed, s3_proxy.longer, s3_proxy.longer_than_announced],
    ids=lambda fault: fault.__name__,
)
def test_read_returns_exactly_the_requested_bytes(broken: MinioBlobs, proxy: S3Proxy, fault: Fault) -> None:
    """A server without ranges, with a longer body or with an encoding still yields the right bytes."""
    put(broken, KEY, CONTENT)
    for start, length in ((0, SIZE), (0, 1000), (1000, 1000), (SIZE - 1, 1)):
        proxy.arm(fault)
        assert read(broken, KEY, start, length, size=SIZE) == CONTENT[start : start + length]
    with pytest.raises(BlobSizeMismatch):
        read(broken, KEY, 0, 10, size=SIZE + 1)


def test_bytes_of_another_object_are_left_to_the_cipher(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """The store cannot detect them: it returns the requested length, and the caller authenticates the bytes."""
    put(broken, KEY, CONTENT)
    proxy.arm(s3_proxy.foreign)
    found = read(broken, KEY, 0, SIZE, size=SIZE)
    assert len(found) == SIZE
    assert found != CONTENT


def test_changed_object_is_reported(blobs: MinioBlobs) -> None:
    """One byte more, one byte less, or a missing object: each has its own error."""
    for change, error in ((CONTENT + b"x", BlobSizeMismatch), (CONTENT[:-1], BlobSizeMismatch), (None, BlobMissing)):
        put(blobs, KEY, CONTENT)
        _replace_object(blobs, change)
        for start, length in ((0, SIZE), (5, 10), (SIZE, 0)):
            with pytest.raises(error):
                read(blobs, KEY, start, length, size=SIZE)
        blobs.delete(KEY)


def _replace_object(blobs: MinioBlobs, content: bytes | None) -> None:
    blobs.delete(KEY)
    if content is not None:
        put(blobs, KEY, content)


# --- delete and list ---------------------------------------------------------------------------


def test_delete_of_a_missing_object_succeeds(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """S3's own 404 is success; any other 404 is not, because the blob may still exist."""
    proxy.arm(refusal("404 Not Found", "NoSuchKey"))
    broken.delete(KEY)
    for fault in (refusal("404 Not Found", "NoSuchBucket"), answer("404 Not Found", "<html>", "text/html")):
        proxy.arm(fault)
        with pytest.raises(BlobStoreUnavailable):
            broken.delete(KEY)


def test_foreign_object_is_not_listed(blobs: MinioBlobs) -> None:
    """Foreign objects in the bucket are skipped."""
    put(blobs, KEY, CONTENT)
    for name in ("readme.txt", "aa/b c&d", "aa/bb/cc", "AA/11", "aa/xyz"):
        blobs.client.put(blobs.bucket, name, [b"x"], size=1, create_only=False)
    assert [info.key for info in blobs.list()] == [KEY]
    assert list(blobs.list("aa")) == []


def test_blob_outside_the_prefix_is_not_listed(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """Listed blobs of other files are ignored, so they are not deleted with this file."""
    listed = "".join(
        f"<Contents><Key>{key}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
        for key in ("aa/1", "ab/1", "aa/2", "a/1")
    )
    proxy.arm(answer("200 OK", f"<ListBucketResult><Name>b</Name>{listed}</ListBucketResult>"))
    assert [info.key for info in broken.list("aa/")] == ["aa/1", "aa/2"]
    assert proxy.broken == 1


@pytest.mark.parametrize(
    "fault",
    [
        s3_proxy.endless_pages,
        s3_proxy.entities,
        s3_proxy.endless,
        answer("200 OK", "<html>", "text/html"),
        answer("200 OK", "½" * 9),
        answer("200 OK", "<ListBucketResult><Name>b</Name><Contents><Key>aa/1</Key></Contents></ListBucketResult>"),
        answer(
            "200 OK",
            "<ListBucketResult><Name>b</Name><Contents><Key>aa/1</Key><Size>-1</Size>"
            "<LastModified>2026-01-01T00:00:00Z</LastModified></Contents></ListBucketResult>",
        ),
    ],
    ids=["endless pages", "entities", "endless", "page", "no XML", "no size", "negative size"],
)
def test_invalid_listing_fails(broken: MinioBlobs, proxy: S3Proxy, fault: Fault) -> None:
    """The listing fails in bounded time and memory, whatever the server sends."""
    proxy.arm(fault)
    patience = short_timeouts(broken) if fault in SILENT else nullcontext()
    with patience, little_memory(12 * MIB), pytest.raises(BlobStoreUnavailable):
        list(broken.list())


# --- time, memory, connections -----------------------------------------------------------------


@contextmanager
def little_memory(most: int) -> Iterator[None]:
    """
    Assert that the block never allocates more than this many bytes.
    """
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < most


def test_transfer_is_not_copied(blobs: MinioBlobs) -> None:
    """Put and read allocate only a fraction of a blob of 8 MiB."""
    piece, buffer = bytes(MIB), bytearray(8 * MIB)
    with little_memory(2 * MIB):
        blobs.put(KEY, (piece for _ in range(8)), size=8 * MIB)
        blobs.read_into(KEY, 0, memoryview(buffer), size=8 * MIB)


def test_endless_body_is_not_read(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """A bounded number of bytes is read of any response to a read, a put, a check or a delete."""
    actions: list[tuple[int | None, Callable[[], object]]] = [
        (None, lambda: read(broken, KEY, 0, 1000, size=SIZE)),
        (1, lambda: put(broken, KEY, CONTENT)),
        (2, lambda: put(broken, KEY, CONTENT)),
        (None, lambda: broken.delete(KEY)),
    ]
    for nth, action in actions:
        proxy.arm(s3_proxy.endless, nth)
        with little_memory(12 * MIB), pytest.raises(BlobStoreUnavailable):
            action()


@pytest.mark.parametrize("fault", [s3_proxy.trickle, s3_proxy.endless_continues, s3_proxy.stall])
def test_call_is_bounded_in_time(broken: MinioBlobs, proxy: S3Proxy, fault: Fault) -> None:
    """A server that keeps sending a little does not extend the timeout."""
    proxy.arm(fault)
    actions: list[Callable[[], object]] = [
        lambda: put(broken, KEY, CONTENT),
        lambda: read(broken, KEY, 0, 1000, size=SIZE),
        lambda: list(broken.list()),
    ]
    for action in actions:
        before = time.monotonic()
        with short_timeouts(broken), pytest.raises(BlobStoreUnavailable):
            action()
        assert time.monotonic() - before < 10


def test_nested_call_has_its_own_deadline(broken: MinioBlobs) -> None:
    """The outer call's deadline continues afterwards."""
    deadlines = broken.client.transport.deadlines
    with deadlines.call():
        outer = deadlines.remaining(100)
        time.sleep(0.05)
        with deadlines.call():
            assert deadlines.remaining(100) > outer - 0.04
        assert deadlines.remaining(100) < outer
    assert deadlines.remaining(100) == 100


def test_connections_are_returned_after_any_fault(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """After fifty faults of all kinds a pool of two connections still has both."""
    put(broken, KEY, CONTENT)
    for number in range(50):
        proxy.arm(FAULTS[number % len(FAULTS)])
        with short_timeouts(broken):
            attempt(lambda: read(broken, KEY, 0, 1000, size=SIZE), Damaged)
            attempt(partial(put, broken, f"bb/{number:x}", b"x"), BlobExists)
    proxy.arm()
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda _: read(broken, KEY, 0, SIZE, size=SIZE), range(16))
        assert all(content == CONTENT for content in found)
    connections = broken.client.transport.connection_from_url(f"http://{proxy.endpoint}").pool
    assert connections is not None
    assert connections.qsize() == 2


def test_exhausted_pool_is_reported_in_time(opened: Opener, proxy: S3Proxy, bucket: str) -> None:
    """With all connections in use, another call waits no longer than the connect timeout."""
    client = opened(endpoint=proxy.endpoint, secure=False, connections=1, connect_seconds=0.2)
    ensure_bucket(client, bucket)
    store = MinioBlobs(client, bucket)
    started, may_end = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"x"
        started.set()
        may_end.wait(10)
        yield b"y"

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(store.put, KEY, pieces(), size=2)
        assert started.wait(10)
        with pytest.raises(BlobStoreUnavailable, match="every connection is in use"):
            store.delete(OTHER)
        may_end.set()
        running.result()
    store.delete(OTHER)


def test_repeatable_request_survives_a_dead_connection(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """Reads, checks, listings and deletes are sent once more, but not twice."""
    put(broken, KEY, CONTENT)
    for action in (
        lambda: read(broken, KEY, 0, SIZE, size=SIZE),
        lambda: list(broken.list()),
        lambda: put(broken, ELSEWHERE, CONTENT),
        lambda: broken.delete(KEY),
    ):
        proxy.arm(s3_proxy.reset_after_head, 1)
        action()
        assert proxy.broken == 1
    proxy.arm(s3_proxy.reset_after_head)
    with pytest.raises(BlobStoreUnavailable):
        broken.delete(KEY)
    assert len(proxy.requests) == 2


# --- server restarts ---------------------------------------------------------------------------


def test_client_recovers_after_a_server_restart(opened: Opener, bucket: str) -> None:
    """Calls fail while the server is dead or hangs; when it is back the same client works."""
    with own_s3() as own:
        server = own.server
        assert server is not None
        client = opened(endpoint=own.endpoint, secret_key=Secret(own.secret_key.encode()), secure=False)
        ensure_bucket(client, bucket)
        store = MinioBlobs(client, bucket)
        put(store, KEY, CONTENT)
        server.kill()
        _all_unavailable(store)
        server.start()
        assert read(store, KEY, 0, SIZE, size=SIZE) == CONTENT
        put(store, OTHER, CONTENT)
        server.pause()
        _all_unavailable(store)
        server.resume()
        assert read(store, OTHER, 0, SIZE, size=SIZE) == CONTENT
        put(store, ELSEWHERE, CONTENT)


def _all_unavailable(store: MinioBlobs) -> None:
    actions: list[Callable[[], object]] = [
        lambda: read(store, KEY, 0, SIZE, size=SIZE),
        lambda: put(store, "ff/1", CONTENT),
        lambda: store.delete("ff/2"),
        lambda: list(store.list()),
    ]
    for action in actions:
        with short_timeouts(store), pytest.raises(BlobStoreUnavailable):
            action()


def test_refused_connection_is_unavailable(opened: Opener) -> None:
    """A refused connection is reported at once."""
    _all_unavailable(MinioBlobs(opened(endpoint=f"127.0.0.1:{free_port()}", secure=False), "bucket"))


@pytest.mark.parametrize(
    "key", ["../x", "a/../../x", "/etc", "a", "a/b/c", "a/", "/b", "a/.b", "A/B", "a/b\0", "x/y", "", "a/" + "b" * 65]
)
def test_malformed_key_is_refused(broken: MinioBlobs, proxy: S3Proxy, key: str) -> None:
    """A key is two words of hexadecimal digits and hyphens; any other key sends no request."""
    proxy.arm()
    actions: list[Callable[[], object]] = [
        lambda: put(broken, key, b"x"),
        lambda: read(broken, key, 0, 1, size=1),
        lambda: broken.delete(key),
    ]
    for action in actions:
        with pytest.raises(InvalidValue):
            action()
    assert proxy.requests == []
