"""
What downloads hold in memory: counted while they wait, and released at the end.
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
    async def told() -> None:
        await asyncio.wait_for(story(), 20)

    asyncio.run(told())


class Piece(bytearray):
    """
    Memory whose release can be observed.
    """

    __hash__ = object.__hash__  # type: ignore[assignment]  # one is not another, whatever they hold


@attrs.define
class Store:
    """
    What a delivery reads from; it counts what is in memory of what it gave.
    """

    live: weakref.WeakSet[Piece] = attrs.field(factory=weakref.WeakSet, init=False)
    most: int = attrs.field(default=0, init=False)
    read: int = attrs.field(default=0, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    @property
    def held(self) -> int:
        """
        How many bytes are in memory.
        """
        with self._lock:
            return sum(map(len, self.live))

    def pieces(self, span: ByteRange) -> Iterator[Piece]:
        """
        The content in pieces, as a vault gives it.
        """
        for start in range(span.start, span.stop, PIECE):
            yield self._piece(start, min(start + PIECE, span.stop))

    def _piece(self, start: int, stop: int) -> Piece:
        piece = Piece(CONTENT[start:stop])
        with self._lock:
            self.live.add(piece)
            self.read += len(piece)
            self.most = max(self.most, sum(map(len, self.live)))
        return piece


@attrs.define
class StalledHandle:
    """
    A client that accepts `room` bytes at once, and more after `goes_on` is set.
    """

    room: int
    is_idle: bool = True
    is_fast: bool = True
    is_broken: bool = False
    taken: bytearray = attrs.field(factory=bytearray)
    goes_on: asyncio.Event = attrs.field(factory=asyncio.Event)

    def is_writable(self) -> bool:
        return self.room > 0

    async def wait_until_writable(self) -> None:
        await self.goes_on.wait()
        self.room, self.is_fast = len(CONTENT), False

    def send(self, piece: memoryview) -> int:
        some = piece[: self.room]
        self.taken += some
        self.room -= len(some)
        return len(some)


async def step(stream: DownloadStream, handle: StalledHandle) -> int:
    """
    How many bytes the next piece adds: those that it has, or those that a thread has sent.
    """
    before = len(handle.taken)
    return len(await anext(stream)) + len(handle.taken) - before


async def steps(stream: DownloadStream, handle: StalledHandle) -> list[int]:
    """
    The same for all that follow.
    """
    found, before = list[int](), len(handle.taken)
    async for piece in stream:
        found.append(len(piece) + len(handle.taken) - before)
        before = len(handle.taken)
    return found


class Reader:
    """
    Another stream, which retains read-ahead data.
    """

    def discard(self) -> None:
        pass


def short_of_memory(pools: ThreadPools, limit: int) -> None:
    pools.limits = attrs.evolve(pools.limits, read_ahead=ReadAhead(limit))
    pools.transfer.queue_limit = MANY


def many(pools: ThreadPools, store: Store, *, room: int) -> list[tuple[DownloadStream, StalledHandle]]:
    handles = [StalledHandle(room) for _ in range(MANY)]
    span = ByteRange(0, len(CONTENT))
    return [(DownloadStream(pools, store.pieces, span, cast("SocketHandle", handle)), handle) for handle in handles]


def test_however_many_begin_at_once_what_they_hold_is_bounded(pools: ThreadPools) -> None:
    """They hold what there is for it, and what threads work on; each keeps its first bytes, and none is read again."""
    store, limit = Store(), 2 * PIECE
    short_of_memory(pools, limit)

    async def story() -> None:
        begun = many(pools, store, room=0)
        await asyncio.gather(*(stream.prime() for stream, _ in begun))
        assert store.most <= limit + pools.transfer.threads * PIECE
        assert store.held == pools.limits.read_ahead.in_use <= limit
        read = store.read
        assert read < MANY * PIECE // 2
        for stream, _ in begun:
            stream.discard()
            assert await anext(stream) == CONTENT[:FIRST]
            stream.release()
        assert (store.read, store.held, pools.limits.read_ahead.in_use) == (read, 0, 0)

    run(story)


def test_who_waits_for_a_thread_holds_no_more_than_there_is_for_it(pools: ThreadPools) -> None:
    """When many streams continue at once, all threads are in use; the bytes are sent all the same, in order."""
    store, limit, let_on = Store(), 2 * PIECE, threading.Event()
    short_of_memory(pools, limit)

    async def sent(stream: DownloadStream, handle: StalledHandle) -> int:
        return sum(await steps(stream, handle))

    async def story() -> None:
        begun = many(pools, store, room=MIB)
        for stream, handle in begun:
            await stream.prime()
            await anext(stream)
            assert await step(stream, handle) == MIB
            assert store.held == pools.limits.read_ahead.in_use <= limit
        held_up = [
            asyncio.create_task(pools.transfer.run_without_limit(let_on.wait, 20))
            for _ in range(pools.transfer.threads)
        ]
        going_on = [asyncio.create_task(sent(stream, handle)) for stream, handle in begun]
        for _, handle in begun:
            handle.goes_on.set()
        while pools.transfer._under_way < pools.transfer.threads + MANY:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0)
        assert store.held == pools.limits.read_ahead.in_use <= limit
        store.most = 0
        let_on.set()
        await asyncio.gather(*held_up)
        assert await asyncio.gather(*going_on) == [len(CONTENT) - FIRST - MIB] * MANY
        assert store.most <= limit + pools.transfer.threads * PIECE
        assert all(handle.taken == CONTENT[FIRST:] for _, handle in begun)
        assert (store.held, pools.limits.read_ahead.in_use) == (0, 0)

    run(story)


@attrs.define
class ReclaimingHandle(StalledHandle):
    """
    A client that takes a piece when the last one has been read, or `patience` seconds have passed.
    """

    store: Store = attrs.field(factory=Store)
    patience: float = 20

    def send(self, piece: memoryview) -> int:
        time.sleep(0.01)  # for another thread that reads meanwhile
        until = time.monotonic() + self.patience
        while self.store.read < len(CONTENT) and time.monotonic() < until:
            time.sleep(0.001)
        return StalledHandle.send(self, piece)

    async def wait_until_writable(self) -> None:
        await self.goes_on.wait()
        self.room = len(CONTENT)


async def taken_by(
    pools: ThreadPools, handle: StalledHandle, read: Callable[[ByteRange], Iterator[Any]]
) -> DownloadStream:
    """
    A delivery that has given the loop its first bytes.
    """
    pools.transfer.processors = pools.transfer.threads
    stream = DownloadStream(pools, read, ByteRange(0, len(CONTENT)), cast("SocketHandle", handle))
    await stream.prime()
    assert await anext(stream) == CONTENT[:FIRST]
    return stream


def test_the_next_piece_is_read_while_one_is_sent(pools: ThreadPools) -> None:
    """By another thread, as long as one is idle; the bytes come in their order, and nothing is read twice."""
    store = Store()
    handle = ReclaimingHandle(len(CONTENT), store=store)

    async def story() -> None:
        stream = await taken_by(pools, handle, store.pieces)
        assert await steps(stream, handle) == [len(CONTENT) - FIRST]
        assert handle.taken == CONTENT[FIRST:]
        assert (store.read, store.held, pools.limits.read_ahead.in_use) == (len(CONTENT), 0, 0)

    run(story)


def test_a_piece_that_comes_late_is_waited_for(pools: ThreadPools) -> None:
    """Its client has accepted everything before it meanwhile: neither it nor the piece behind it is read twice."""
    store = Store()
    handle = StalledHandle(len(CONTENT))

    def late(span: ByteRange) -> Iterator[Piece]:
        for number, piece in enumerate(store.pieces(span)):
            while number and len(handle.taken) < PIECE - FIRST:
                time.sleep(0.001)
            time.sleep(0.05)
            yield piece

    async def story() -> None:
        stream = await taken_by(pools, handle, late)
        assert await steps(stream, handle) == [len(CONTENT) - FIRST]
        assert (bytes(handle.taken), store.read) == (CONTENT[FIRST:], len(CONTENT))

    run(story)


@pytest.mark.parametrize(
    ("limit", "is_fast", "processors"), [(2 * PIECE - 1, True, 4), (64 * MIB, False, 4), (64 * MIB, True, 1)]
)
def test_nothing_is_read_while_sending_that_may_have_to_wait(
    pools: ThreadPools, limit: int, processors: int, *, is_fast: bool
) -> None:
    """Without memory for it, for a slow client, or without an idle thread."""
    store = Store()
    handle = ReclaimingHandle(len(CONTENT), is_fast=is_fast, store=store, patience=0.1)
    short_of_memory(pools, limit)

    async def story() -> None:
        stream = await taken_by(pools, handle, store.pieces)
        pools.transfer.processors = processors
        await anext(stream)
        stream.release()
        assert store.most <= PIECE

    run(story)


def test_what_was_read_while_sending_waits_where_it_is_counted(pools: ThreadPools) -> None:
    """With the piece that its client stopped taking; what was dropped of both is read again."""
    store = Store()
    handle = ReclaimingHandle(MIB, store=store)

    async def story() -> None:
        ahead = pools.limits.read_ahead
        for drops in (False, True):
            store.read, handle.taken, handle.room = 0, bytearray(), MIB
            handle.goes_on.clear()
            stream = await taken_by(pools, handle, store.pieces)
            assert await step(stream, handle) == MIB
            assert (store.held, ahead.in_use, store.read) == (2 * PIECE, 2 * PIECE, len(CONTENT))
            if drops:
                ahead.retain(Reader(), ahead.limit)
                assert (store.held, ahead.in_use) == (0, ahead.limit)
            handle.goes_on.set()
            assert sum(await steps(stream, handle)) == len(CONTENT) - FIRST - MIB
            assert handle.taken == CONTENT[FIRST:]
            assert store.read == len(CONTENT) + drops * (len(CONTENT) - FIRST - MIB)
            stream.release()

    run(story)


def test_what_was_read_while_sending_is_counted_while_it_waits_for_a_thread(
    pools: ThreadPools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no thread may send any more, and the loop is to be given it."""
    monkeypatch.setattr("sft_http.transfers.download._MAX_THREAD_BYTES", 1)
    store, let_on = Store(), threading.Event()
    handle = ReclaimingHandle(len(CONTENT), store=store)

    async def story() -> None:
        stream = await taken_by(pools, handle, store.pieces)
        assert await step(stream, handle) == PIECE - FIRST
        held_up = [
            asyncio.create_task(pools.transfer.run_without_limit(let_on.wait, 20))
            for _ in range(pools.transfer.threads)
        ]
        await asyncio.sleep(0)
        handle.is_idle = False
        given = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.01)
        assert pools.limits.read_ahead.in_use == store.held == PIECE
        let_on.set()
        assert await given == CONTENT[PIECE : PIECE + FIRST]
        await asyncio.gather(*held_up)
        stream.release()

    run(story)


def test_a_piece_that_failed_beside_another_is_read_again(pools: ThreadPools) -> None:
    """When it is needed: the fault may have ended, and then the client notices nothing."""
    store, failed = Store(), list[int]()
    handle = StalledHandle(len(CONTENT))

    def unsteady(span: ByteRange) -> Iterator[Piece]:
        for piece in store.pieces(span):
            if store.read > PIECE and not failed:
                failed.append(store.read)
                raise BlobStoreUnavailable("for a moment")
            yield piece

    async def story() -> None:
        stream = await taken_by(pools, handle, unsteady)
        assert await steps(stream, handle) == [len(CONTENT) - FIRST]
        assert bytes(handle.taken) == CONTENT[FIRST:]
        assert failed

    run(story)


def test_an_error_of_the_next_piece_comes_out_behind_what_was_sent(pools: ThreadPools) -> None:
    """Every byte before it was sent; then this error is raised, and the stream does not end."""
    store = Store()
    handle = StalledHandle(len(CONTENT))

    def damaged(span: ByteRange) -> Iterator[Piece]:
        if span.start < PIECE:
            yield next(store.pieces(span))
        raise Damaged("its second part")

    async def story() -> None:
        stream = await taken_by(pools, handle, damaged)
        with pytest.raises(Damaged):
            await anext(stream)
        assert handle.taken == CONTENT[FIRST:PIECE]
        stream.release()
        assert (store.held, pools.limits.read_ahead.in_use) == (0, 0)

    run(story)


@pytest.mark.parametrize("limit", [0, PIECE - 1, 64 * MIB])
def test_the_loop_is_given_little_at_once(pools: ThreadPools, limit: int) -> None:
    """It keeps what it is given until it is sent: where no thread may send, all of it goes in small pieces."""
    store = Store()
    short_of_memory(pools, limit)

    async def story() -> None:
        stream = DownloadStream(pools, store.pieces, ByteRange(5, len(CONTENT)))
        await stream.prime()
        pieces = [piece async for piece in stream]
        assert b"".join(pieces) == CONTENT[5:]
        assert max(map(len, pieces)) == FIRST
        assert (store.held, pools.limits.read_ahead.in_use) == (0, 0)

    run(story)


@pytest.mark.parametrize("refusal", [Busy("no thread"), asyncio.CancelledError(), None])
def test_a_download_that_ends_before_it_begins_holds_nothing(
    make_edge: Callable[..., Edge], refusal: BaseException | None
) -> None:
    """It was rejected, or its client has disconnected, after its first bytes were read or while they are sent."""
    service = make_edge(PART_SIZE=str(PIECE))
    token = service.sign_up()
    path = f"/files/{service.store(token, CONTENT)['id']}/share"
    link = service.call("POST", path, token=token, body={}).json["share_url"]
    ahead, held = service.pools.limits.read_ahead, list[int]()

    def redeem(**_: object) -> None:
        held.append(ahead.in_use)
        assert refusal is not None
        raise refusal

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: object) -> None:
        held.append(ahead.in_use)
        raise ConnectionResetError

    async def fetch(app: Any) -> None:
        scope = {"type": "http", "method": "GET", "path": link, "headers": [(b"host", b"x")], "query_string": b""}
        await app(scope | {"http_version": "1.1", "asgi": {"version": "3.0"}}, receive, send)

    beside = service if refusal is None else service.with_use_cases(redeem_share_link=redeem)
    with pytest.raises((asyncio.CancelledError, ConnectionResetError)):
        asyncio.run(fetch(beside.client.app))
    assert (held[0], ahead.in_use) == (PIECE, 0)


def test_a_start_that_is_refused_spends_no_download(make_edge: Callable[..., Edge]) -> None:
    """Too many wait for a thread: 503 with Retry-After, and the link serves as many downloads as before."""
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
