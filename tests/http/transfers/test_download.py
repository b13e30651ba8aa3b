"""
Memory of download streams: bounded and counted while they wait, released when they end.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, cast

import attrs
import pytest

from sft_core.errors import BlobStoreUnavailable, Busy, Damaged
from sft_core.values import ByteRange
from sft_http.asgi.socket_handle import SocketHandle
from sft_http.concurrency.memory_budgets import ReadAhead
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.transfers.download import DownloadStream
from support.app.edge import Edge

MIB = 1 << 20
PIECE = 2 * MIB
FIRST = 64 << 10
CONTENT = os.urandom(4 * MIB)
MANY = 24


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def with_timeout() -> None:
        await asyncio.wait_for(story(), 20)

    asyncio.run(with_timeout())


class Piece(bytearray):
    """
    A buffer whose release can be observed.
    """

    __hash__ = object.__hash__  # type: ignore[assignment]  # pieces are compared by identity


@attrs.define
class Store:
    """
    The source that download streams read from; it measures how much of its data is in memory.
    """

    live: weakref.WeakSet[Piece] = attrs.field(factory=weakref.WeakSet, init=False)
    peak: int = attrs.field(default=0, init=False)
    read: int = attrs.field(default=0, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    @property
    def bytes_in_memory(self) -> int:
        """
        The number of bytes in memory.
        """
        with self._lock:
            return sum(map(len, self.live))

    def pieces(self, span: ByteRange) -> Iterator[Piece]:
        """
        The content in pieces, as the vault yields it.
        """
        for start in range(span.start, span.stop, PIECE):
            yield self._piece(start, min(start + PIECE, span.stop))

    def _piece(self, start: int, stop: int) -> Piece:
        piece = Piece(CONTENT[start:stop])
        with self._lock:
            self.live.add(piece)
            self.read += len(piece)
            self.peak = max(self.peak, sum(map(len, self.live)))
        return piece


@attrs.define
class StalledHandle:
    """
    A client that accepts `capacity` bytes at once, and more after `resume` is set.
    """

    capacity: int
    is_idle: bool = True
    is_fast: bool = True
    is_broken: bool = False
    accepted: bytearray = attrs.field(factory=bytearray)
    resume: asyncio.Event = attrs.field(factory=asyncio.Event)

    def is_writable(self) -> bool:
        return self.capacity > 0

    async def wait_until_writable(self) -> None:
        await self.resume.wait()
        self.capacity, self.is_fast = len(CONTENT), False

    def send(self, piece: memoryview) -> int:
        some = piece[: self.capacity]
        self.accepted += some
        self.capacity -= len(some)
        return len(some)


async def step(stream: DownloadStream, handle: StalledHandle) -> int:
    """
    The number of bytes that the next piece adds: those it contains and those a thread has sent.
    """
    before = len(handle.accepted)
    return len(await anext(stream)) + len(handle.accepted) - before


async def steps(stream: DownloadStream, handle: StalledHandle) -> list[int]:
    """
    The same for all following pieces.
    """
    found, before = list[int](), len(handle.accepted)
    async for piece in stream:
        found.append(len(piece) + len(handle.accepted) - before)
        before = len(handle.accepted)
    return found


class Reader:
    """
    Another stream, which retains read-ahead data.
    """

    def discard(self) -> None:
        pass


def limit_memory(pools: ThreadPools, limit: int) -> None:
    pools.limits = attrs.evolve(pools.limits, read_ahead=ReadAhead(limit))
    pools.transfer.queue_limit = MANY


def many_streams(pools: ThreadPools, store: Store, *, capacity: int) -> list[tuple[DownloadStream, StalledHandle]]:
    handles = [StalledHandle(capacity) for _ in range(MANY)]
    span = ByteRange(0, len(CONTENT))
    return [(DownloadStream(pools, store.pieces, span, cast("SocketHandle", handle)), handle) for handle in handles]


def test_many_streams_starting_at_once_hold_bounded_memory(pools: ThreadPools) -> None:
    """They hold at most the read-ahead limit and a piece per thread; first bytes are kept and not read again."""
    store, limit = Store(), 2 * PIECE
    limit_memory(pools, limit)

    async def story() -> None:
        streams = many_streams(pools, store, capacity=0)
        await asyncio.gather(*(stream.prime() for stream, _ in streams))
        assert store.peak <= limit + pools.transfer.threads * PIECE
        assert store.bytes_in_memory == pools.limits.read_ahead.in_use <= limit
        read = store.read
        assert read < MANY * PIECE // 2
        for stream, _ in streams:
            stream.discard()
            assert await anext(stream) == CONTENT[:FIRST]
            stream.release()
        assert (store.read, store.bytes_in_memory, pools.limits.read_ahead.in_use) == (read, 0, 0)

    run(story)


def test_streams_waiting_for_a_thread_stay_within_the_limit(pools: ThreadPools) -> None:
    """If many streams resume while all threads are busy, memory stays bounded and all bytes arrive in order."""
    store, limit, unblock = Store(), 2 * PIECE, threading.Event()
    limit_memory(pools, limit)

    async def sent(stream: DownloadStream, handle: StalledHandle) -> int:
        return sum(await steps(stream, handle))

    async def story() -> None:
        streams = many_streams(pools, store, capacity=MIB)
        for stream, handle in streams:
            await stream.prime()
            await anext(stream)
            assert await step(stream, handle) == MIB
            assert store.bytes_in_memory == pools.limits.read_ahead.in_use <= limit
        blockers = [
            asyncio.create_task(pools.transfer.run_without_limit(unblock.wait, 20))
            for _ in range(pools.transfer.threads)
        ]
        resumed = [asyncio.create_task(sent(stream, handle)) for stream, handle in streams]
        for _, handle in streams:
            handle.resume.set()
        while pools.transfer._under_way < pools.transfer.threads + MANY:  # noqa: ASYNC110 (no event signals it)
            await asyncio.sleep(0)
        assert store.bytes_in_memory == pools.limits.read_ahead.in_use <= limit
        store.peak = 0
        unblock.set()
        await asyncio.gather(*blockers)
        assert await asyncio.gather(*resumed) == [len(CONTENT) - FIRST - MIB] * MANY
        assert store.peak <= limit + pools.transfer.threads * PIECE
        assert all(handle.accepted == CONTENT[FIRST:] for _, handle in streams)
        assert (store.bytes_in_memory, pools.limits.read_ahead.in_use) == (0, 0)

    run(story)


@attrs.define
class ReclaimingHandle(StalledHandle):
    """
    A client that accepts a piece once all content has been read, or after `max_wait_seconds`.
    """

    store: Store = attrs.field(factory=Store)
    max_wait_seconds: float = 20

    def send(self, piece: memoryview) -> int:
        time.sleep(0.01)  # lets another thread read meanwhile
        until = time.monotonic() + self.max_wait_seconds
        while self.store.read < len(CONTENT) and time.monotonic() < until:
            time.sleep(0.001)
        return StalledHandle.send(self, piece)

    async def wait_until_writable(self) -> None:
        await self.resume.wait()
        self.capacity = len(CONTENT)


async def primed_stream(
    pools: ThreadPools, handle: StalledHandle, read: Callable[[ByteRange], Iterator[Any]]
) -> DownloadStream:
    """
    A download stream that has returned its first bytes to the event loop.
    """
    pools.transfer.processors = pools.transfer.threads
    stream = DownloadStream(pools, read, ByteRange(0, len(CONTENT)), cast("SocketHandle", handle))
    await stream.prime()
    assert await anext(stream) == CONTENT[:FIRST]
    return stream


def test_next_piece_is_read_while_one_is_sent(pools: ThreadPools) -> None:
    """An idle thread reads ahead; the bytes arrive in order, and nothing is read twice."""
    store = Store()
    handle = ReclaimingHandle(len(CONTENT), store=store)

    async def story() -> None:
        stream = await primed_stream(pools, handle, store.pieces)
        assert await steps(stream, handle) == [len(CONTENT) - FIRST]
        assert handle.accepted == CONTENT[FIRST:]
        assert (store.read, store.bytes_in_memory, pools.limits.read_ahead.in_use) == (len(CONTENT), 0, 0)

    run(story)


def test_late_piece_is_awaited_and_not_read_twice(pools: ThreadPools) -> None:
    """If the client has accepted all earlier bytes, the stream waits for the piece that is being read."""
    store = Store()
    handle = StalledHandle(len(CONTENT))

    def delayed(span: ByteRange) -> Iterator[Piece]:
        for number, piece in enumerate(store.pieces(span)):
            while number and len(handle.accepted) < PIECE - FIRST:
                time.sleep(0.001)
            time.sleep(0.05)
            yield piece

    async def story() -> None:
        stream = await primed_stream(pools, handle, delayed)
        assert await steps(stream, handle) == [len(CONTENT) - FIRST]
        assert (bytes(handle.accepted), store.read) == (CONTENT[FIRST:], len(CONTENT))

    run(story)


@pytest.mark.parametrize(
    ("limit", "is_fast", "processors"), [(2 * PIECE - 1, True, 4), (64 * MIB, False, 4), (64 * MIB, True, 1)]
)
def test_next_piece_is_not_read_ahead_if_it_might_wait(
    pools: ThreadPools, limit: int, processors: int, *, is_fast: bool
) -> None:
    """Without memory for it, for a slow client, or without an idle thread, nothing is read during a send."""
    store = Store()
    handle = ReclaimingHandle(len(CONTENT), is_fast=is_fast, store=store, max_wait_seconds=0.1)
    limit_memory(pools, limit)

    async def story() -> None:
        stream = await primed_stream(pools, handle, store.pieces)
        pools.transfer.processors = processors
        await anext(stream)
        stream.release()
        assert store.peak <= PIECE

    run(story)


def test_read_ahead_of_a_stalled_client_is_counted(pools: ThreadPools) -> None:
    """The unsent rest and the piece read ahead both count; if they are discarded, they are read again."""
    store = Store()
    handle = ReclaimingHandle(MIB, store=store)

    async def story() -> None:
        ahead = pools.limits.read_ahead
        for drops in (False, True):
            store.read, handle.accepted, handle.capacity = 0, bytearray(), MIB
            handle.resume.clear()
            stream = await primed_stream(pools, handle, store.pieces)
            assert await step(stream, handle) == MIB
            assert (store.bytes_in_memory, ahead.in_use, store.read) == (2 * PIECE, 2 * PIECE, len(CONTENT))
            if drops:
                ahead.retain(Reader(), ahead.limit)
                assert (store.bytes_in_memory, ahead.in_use) == (0, ahead.limit)
            handle.resume.set()
            assert sum(await steps(stream, handle)) == len(CONTENT) - FIRST - MIB
            assert handle.accepted == CONTENT[FIRST:]
            assert store.read == len(CONTENT) + drops * (len(CONTENT) - FIRST - MIB)
            stream.release()

    run(story)


def test_read_ahead_is_counted_while_the_stream_waits_for_a_thread(
    pools: ThreadPools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This also holds if no thread may send any more and the event loop gets the bytes."""
    monkeypatch.setattr("sft_http.transfers.download._MAX_THREAD_BYTES", 1)
    store, unblock = Store(), threading.Event()
    handle = ReclaimingHandle(len(CONTENT), store=store)

    async def story() -> None:
        stream = await primed_stream(pools, handle, store.pieces)
        assert await step(stream, handle) == PIECE - FIRST
        blockers = [
            asyncio.create_task(pools.transfer.run_without_limit(unblock.wait, 20))
            for _ in range(pools.transfer.threads)
        ]
        await asyncio.sleep(0)
        handle.is_idle = False
        given = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.01)
        assert pools.limits.read_ahead.in_use == store.bytes_in_memory == PIECE
        unblock.set()
        assert await given == CONTENT[PIECE : PIECE + FIRST]
        await asyncio.gather(*blockers)
        stream.release()

    run(story)


def test_failed_read_ahead_is_retried_when_needed(pools: ThreadPools) -> None:
    """After a transient error the piece is read again when it is due, and the client notices nothing."""
    store, failed = Store(), list[int]()
    handle = StalledHandle(len(CONTENT))

    def flaky(span: ByteRange) -> Iterator[Piece]:
        for piece in store.pieces(span):
            if store.read > PIECE and not failed:
                failed.append(store.read)
                raise BlobStoreUnavailable("for a moment")
            yield piece

    async def story() -> None:
        stream = await primed_stream(pools, handle, flaky)
        assert await steps(stream, handle) == [len(CONTENT) - FIRST]
        assert bytes(handle.accepted) == CONTENT[FIRST:]
        assert failed

    run(story)


def test_read_ahead_error_is_raised_after_the_earlier_bytes(pools: ThreadPools) -> None:
    """All bytes before the damaged piece are sent; then the error is raised, and the stream does not end."""
    store = Store()
    handle = StalledHandle(len(CONTENT))

    def damaged(span: ByteRange) -> Iterator[Piece]:
        if span.start < PIECE:
            yield next(store.pieces(span))
        raise Damaged("its second part")

    async def story() -> None:
        stream = await primed_stream(pools, handle, damaged)
        with pytest.raises(Damaged):
            await anext(stream)
        assert handle.accepted == CONTENT[FIRST:PIECE]
        stream.release()
        assert (store.bytes_in_memory, pools.limits.read_ahead.in_use) == (0, 0)

    run(story)


@pytest.mark.parametrize("limit", [0, PIECE - 1, 64 * MIB])
def test_event_loop_receives_small_pieces_only(pools: ThreadPools, limit: int) -> None:
    """Where no thread may send, the content is yielded in pieces of at most 64 KiB."""
    store = Store()
    limit_memory(pools, limit)

    async def story() -> None:
        stream = DownloadStream(pools, store.pieces, ByteRange(5, len(CONTENT)))
        await stream.prime()
        pieces = [piece async for piece in stream]
        assert b"".join(pieces) == CONTENT[5:]
        assert max(map(len, pieces)) == FIRST
        assert (store.bytes_in_memory, pools.limits.read_ahead.in_use) == (0, 0)

    run(story)


@pytest.mark.parametrize("refusal", [Busy("no thread"), asyncio.CancelledError(), None])
def test_download_that_fails_at_the_start_releases_its_memory(
    make_edge: Callable[..., Edge], refusal: BaseException | None
) -> None:
    """This holds if the link is refused, the request is cancelled, or the client disconnects."""
    service = make_edge(PART_SIZE=str(PIECE))
    token = service.sign_up()
    path = f"/files/{service.store(token, CONTENT)['id']}/share"
    link = service.call("POST", path, token=token, body={}).json["share_url"]
    ahead, in_use = service.pools.limits.read_ahead, list[int]()

    def redeem(**_: object) -> None:
        in_use.append(ahead.in_use)
        assert refusal is not None
        raise refusal

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: object) -> None:
        in_use.append(ahead.in_use)
        raise ConnectionResetError

    async def fetch(app: Any) -> None:
        scope = {"type": "http", "method": "GET", "path": link, "headers": [(b"host", b"x")], "query_string": b""}
        await app(scope | {"http_version": "1.1", "asgi": {"version": "3.0"}}, receive, send)

    edge = service if refusal is None else service.with_use_cases(redeem_share_link=redeem)
    with pytest.raises((asyncio.CancelledError, ConnectionResetError)):
        asyncio.run(fetch(edge.client.app))
    assert (in_use[0], ahead.in_use) == (PIECE, 0)


def test_download_rejected_for_lack_of_threads_spends_no_budget(make_edge: Callable[..., Edge]) -> None:
    """A full queue is 503 with Retry-After, and the link still serves its one download."""
    service = make_edge(READ_AHEAD_MIB="0")
    token = service.sign_up()
    path = f"/files/{service.store(token, CONTENT)['id']}/share"
    link = service.call("POST", path, token=token, body={"max_downloads": 1}).json["share_url"]
    pool = service.pools.transfer
    get = partial(service.client.simulate_get, link)
    pool._under_way = pool.threads + pool.queue_limit
    refused = get()
    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (503, True)
    pool._under_way = 0
    assert get().content == CONTENT
    assert get().status_code != 200
