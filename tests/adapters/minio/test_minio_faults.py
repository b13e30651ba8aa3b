"""
Blobs when the line to the S3 server breaks, or the server refuses, lies, or is slow.
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


# After these there is nothing to come, or no end of it: only the clock ends such a call.
SILENT: set[Fault] = {
    s3_proxy.stall,
    s3_proxy.endless_continues,
    s3_proxy.endless_pages,
    s3_proxy.nonsense_headers,
    s3_proxy.without_content_range,
}


def attempted(action: Callable[[], object], *allowed: type[SftError]) -> SftError | None:
    """
    The error of ours that an action ended in, if it is one of those it may end in.
    """
    expected: tuple[type[SftError], ...] = (BlobStoreUnavailable, BlobStoreFull, *allowed)
    try:
        action()
    except expected as error:
        return error
    return None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_whichever_request_breaks_a_blob_is_whole_or_absent(
    broken: MinioBlobs, blobs: MinioBlobs, proxy: S3Proxy, fault: Fault
) -> None:
    """Put, read, list and delete say so with an error of ours, and the next attempt succeeds."""
    put(blobs, OTHER, b"neighbour")
    nth = 0
    while True:
        nth += 1
        key = f"00{nth:04x}/1-{nth:08x}"
        proxy.arm(fault, nth)
        buffer = bytearray(100_000)
        with short_timeouts(broken) if fault in SILENT else nullcontext():
            failed_put = attempted(partial(put, broken, key, CONTENT))
            failed_read = attempted(partial(broken.read_into, key, 50_000, memoryview(buffer), size=SIZE), Damaged)
            failed_list = attempted(partial(list, broken.list(key)))
        met = proxy.broken
        there = {info.key: info.size for info in blobs.list()}
        assert there.get(key, SIZE) == SIZE
        assert there[OTHER] == 9
        if key in there:
            assert read(blobs, key, 0, SIZE, size=SIZE) == CONTENT
        if failed_put is None:
            assert key in there
            assert failed_read or fault is s3_proxy.foreign or buffer == CONTENT[50_000:150_000]
            assert failed_read is None or failed_list is None  # one fault breaks one of them
        with short_timeouts(broken) if fault in SILENT else nullcontext():
            failed_delete = attempted(partial(broken.delete, key))
        if failed_delete is None:
            assert key not in {info.key for info in blobs.list()}
        met, seen = max(met, proxy.broken), len(proxy.requests)
        proxy.arm()
        put(broken, f"{key}-aa", CONTENT)
        assert read(broken, f"{key}-aa", 0, SIZE, size=SIZE) == CONTENT
        if not met:
            break
    assert nth > 4
    assert seen >= 4


# --- put ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [s3_proxy.reset_after_commit, s3_proxy.close_without_response])
def test_a_lost_answer_leaves_the_outcome_unknown(broken: MinioBlobs, proxy: S3Proxy, fault: Fault) -> None:
    """What was stored is not put again nor called somebody else's: it is there for the sweeper."""
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
def test_a_success_that_acknowledges_no_object_is_none(broken: MinioBlobs, proxy: S3Proxy, fault: Fault) -> None:
    """An error in a good status, a page, a missing or odd ETag, an answer that comes too early."""
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
def test_a_refused_put_says_why(
    broken: MinioBlobs, proxy: S3Proxy, status: str, code: str, error: type[SftError]
) -> None:
    """Full, taken, or not to be had just now; the detail holds the code and not the server's words."""
    proxy.arm(refusal(status, code), 2)
    with pytest.raises(error) as caught:
        put(broken, KEY, CONTENT)
    assert type(caught.value) is error
    assert "secret text" not in caught.value.detail
    assert error is BlobExists or code in caught.value.detail


def test_an_early_refusal_is_heard(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """A server that is full may say so before it has read anything."""
    proxy.arm(s3_proxy.refuse_early, 2)
    with pytest.raises((BlobStoreFull, BlobStoreUnavailable)):
        broken.put(KEY, iter([bytes(MIB)] * 8), size=8 * MIB)


@pytest.mark.parametrize("error", [OSError("own"), TimeoutError("own"), ValueError("own"), KeyboardInterrupt("own")])
def test_the_pieces_error_is_not_taken_for_the_lines(blobs: MinioBlobs, error: BaseException) -> None:
    """Even one that a connection raises as well comes out as it is."""

    def pieces() -> Iterator[bytes]:
        yield CONTENT
        raise error

    with pytest.raises(type(error), match="own"):
        blobs.put(KEY, pieces(), size=SIZE + 1)
    with pytest.raises(type(error), match="own"):
        blobs.put(KEY, Raising(error), size=SIZE)
    assert list(blobs.list()) == []


class Raising:
    """
    Pieces that cannot even be begun.
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
def test_a_read_that_cannot_be_right_fails(
    broken: MinioBlobs, proxy: S3Proxy, fault: Fault, error: type[SftError]
) -> None:
    """Each lie and each failure has one error, and the next read is served."""
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
def test_a_read_takes_what_it_asked_for_and_no_more(broken: MinioBlobs, proxy: S3Proxy, fault: Fault) -> None:
    """From a server without ranges, one that goes on, one that claims an encoding: the bytes are the right ones."""
    put(broken, KEY, CONTENT)
    for start, length in ((0, SIZE), (0, 1000), (1000, 1000), (SIZE - 1, 1)):
        proxy.arm(fault)
        assert read(broken, KEY, start, length, size=SIZE) == CONTENT[start : start + length]
    with pytest.raises(BlobSizeMismatch):
        read(broken, KEY, 0, 10, size=SIZE + 1)


def test_another_objects_bytes_are_for_the_cipher_to_find(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """The store cannot tell them: it delivers as many as were asked for, and the caller authenticates them."""
    put(broken, KEY, CONTENT)
    proxy.arm(s3_proxy.foreign)
    found = read(broken, KEY, 0, SIZE, size=SIZE)
    assert len(found) == SIZE
    assert found != CONTENT


def test_what_somebody_did_to_an_object_is_told(blobs: MinioBlobs) -> None:
    """One byte more, one byte less, or gone: each is named for what it is."""
    for change, error in ((CONTENT + b"x", BlobSizeMismatch), (CONTENT[:-1], BlobSizeMismatch), (None, BlobMissing)):
        put(blobs, KEY, CONTENT)
        _tamper(blobs, change)
        for start, length in ((0, SIZE), (5, 10), (SIZE, 0)):
            with pytest.raises(error):
                read(blobs, KEY, start, length, size=SIZE)
        blobs.delete(KEY)


def _tamper(blobs: MinioBlobs, content: bytes | None) -> None:
    blobs.delete(KEY)
    if content is not None:
        put(blobs, KEY, content)


# --- delete and list ---------------------------------------------------------------------------


def test_a_delete_that_is_told_of_no_object_has_done_its_work(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """S3's own 404 is success; any other is not, for the blob may still be there."""
    proxy.arm(refusal("404 Not Found", "NoSuchKey"))
    broken.delete(KEY)
    for fault in (refusal("404 Not Found", "NoSuchBucket"), answer("404 Not Found", "<html>", "text/html")):
        proxy.arm(fault)
        with pytest.raises(BlobStoreUnavailable):
            broken.delete(KEY)


def test_what_is_no_blob_is_not_listed(blobs: MinioBlobs) -> None:
    """Objects that somebody else put into the bucket are passed over."""
    put(blobs, KEY, CONTENT)
    for name in ("readme.txt", "aa/b c&d", "aa/bb/cc", "AA/11", "aa/xyz"):
        blobs.client.put(blobs.bucket, name, [b"x"], size=1, create_only=False)
    assert [info.key for info in blobs.list()] == [KEY]
    assert list(blobs.list("aa")) == []


def test_what_was_not_asked_for_is_not_listed(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """A server that names another file's blobs does not have them deleted with the file that is."""
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
def test_a_listing_that_cannot_be_one_fails(broken: MinioBlobs, proxy: S3Proxy, fault: Fault) -> None:
    """It ends in time and in little memory, whatever the server sends."""
    proxy.arm(fault)
    patience = short_timeouts(broken) if fault in SILENT else nullcontext()
    with patience, little_memory(12 * MIB), pytest.raises(BlobStoreUnavailable):
        list(broken.list())


# --- time, memory, connections -----------------------------------------------------------------


@contextmanager
def little_memory(most: int) -> Iterator[None]:
    """
    No more than this many bytes are allocated inside the block at any time.
    """
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < most


def test_a_transfer_is_not_copied(blobs: MinioBlobs) -> None:
    """Neither way holds more than a fraction of a blob of 8 MiB."""
    piece, buffer = bytes(MIB), bytearray(8 * MIB)
    with little_memory(2 * MIB):
        blobs.put(KEY, (piece for _ in range(8)), size=8 * MIB)
        blobs.read_into(KEY, 0, memoryview(buffer), size=8 * MIB)


def test_an_endless_body_is_not_read(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """Of whatever answers a read, a put, a look or a delete, a bounded number of bytes is taken."""
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
def test_no_call_outlives_its_time(broken: MinioBlobs, proxy: S3Proxy, fault: Fault) -> None:
    """A server that gives a sign of life again and again gets no more time for it."""
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


def test_a_call_inside_a_call_has_its_own_time(broken: MinioBlobs) -> None:
    """The outer one goes on where it was."""
    deadlines = broken.client.transport.deadlines
    with deadlines.call():
        outer = deadlines.remaining(100)
        time.sleep(0.05)
        with deadlines.call():
            assert deadlines.remaining(100) > outer - 0.04
        assert deadlines.remaining(100) < outer
    assert deadlines.remaining(100) == 100


def test_connections_are_given_back_whatever_happens(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """After fifty faults of all kinds a pool of two connections still has two to lend."""
    put(broken, KEY, CONTENT)
    for number in range(50):
        proxy.arm(FAULTS[number % len(FAULTS)])
        with short_timeouts(broken):
            attempted(lambda: read(broken, KEY, 0, 1000, size=SIZE), Damaged)
            attempted(partial(put, broken, f"bb/{number:x}", b"x"), BlobExists)
    proxy.arm()
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda _: read(broken, KEY, 0, SIZE, size=SIZE), range(16))
        assert all(content == CONTENT for content in found)
    places = broken.client.transport.connection_from_url(f"http://{proxy.endpoint}").pool
    assert places is not None
    assert places.qsize() == 2


def test_who_finds_no_free_connection_is_told_in_time(opened: Opener, proxy: S3Proxy, bucket: str) -> None:
    """While others hold them all, one more waits as long as for a connection to be made."""
    client = opened(endpoint=proxy.endpoint, secure=False, connections=1, connect_seconds=0.2)
    ensure_bucket(client, bucket)
    store = MinioBlobs(client, bucket)
    begun, over = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"x"
        begun.set()
        over.wait(10)
        yield b"y"

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(store.put, KEY, pieces(), size=2)
        assert begun.wait(10)
        with pytest.raises(BlobStoreUnavailable, match="every connection is in use"):
            store.delete(OTHER)
        over.set()
        holding.result()
    store.delete(OTHER)


def test_a_dead_connection_costs_a_repeatable_request_nothing(broken: MinioBlobs, proxy: S3Proxy) -> None:
    """Reading, looking, listing and deleting are sent once more, and not twice."""
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


# --- the server comes and goes -----------------------------------------------------------------


def test_a_client_outlives_the_servers_death(opened: Opener, bucket: str) -> None:
    """While the server is dead or hangs each call says so; when it is back the same client goes on."""
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


def test_where_nobody_listens_it_is_unavailable(opened: Opener) -> None:
    """A refused connection is told at once."""
    _all_unavailable(MinioBlobs(opened(endpoint=f"127.0.0.1:{free_port()}", secure=False), "bucket"))


@pytest.mark.parametrize(
    "key", ["../x", "a/../../x", "/etc", "a", "a/b/c", "a/", "/b", "a/.b", "A/B", "a/b\0", "x/y", "", "a/" + "b" * 65]
)
def test_a_key_of_another_form_is_refused(broken: MinioBlobs, proxy: S3Proxy, key: str) -> None:
    """A key is two words of hexadecimal letters and hyphens; nothing else reaches the server."""
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
