"""
What downloads hold in memory: counted, whatever they wait for, and let go of at the end.
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
from sft_http.asgi.socket_handle import Wire
from sft_http.concurrency.memory_budgets import ReadAhead
from sft_http.concurrency.thread_pools import Lanes
from sft_http.transfers.download import Delivery
from support.edge import Edge

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
    Memory of which one can learn when it is let go of.
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
class StalledWire:
    """
    A client that takes `room` bytes at once, and more when it is told to.
    """

    room: int
    is_idle: bool = True
    is_brisk: bool = True
    is_broken: bool = False
    taken: bytearray = attrs.field(factory=bytearray)
    goes_on: asyncio.Event = attrs.field(factory=asyncio.Event)

    def takes_more(self) -> bool:
        return self.room > 0

    async def until_writable(self) -> None:
        await self.goes_on.wait()
        self.room, self.is_brisk = len(CONTENT), False

    def send(self, piece: memoryview) -> int:
        some = piece[: self.room]
        self.taken += some
        self.room -= len(some)
        return len(some)


class Reader:
    """
    Somebody else who keeps what was read ahead.
    """

    def drop(self) -> None:
        pass


def short_of_memory(lanes: Lanes, limit: int) -> None:
    lanes.limits = attrs.evolve(lanes.limits, read_ahead=ReadAhead(limit))
    lanes.bytes.queue_limit = MANY


def many(lanes: Lanes, store: Store, *, room: int) -> list[tuple[Delivery, StalledWire]]:
    wires = [StalledWire(room) for _ in range(MANY)]
    span = ByteRange(0, len(CONTENT))
    return [(Delivery(lanes, store.pieces, span, cast("Wire", wire)), wire) for wire in wires]


def test_however_many_begin_at_once_what_they_hold_is_bounded(lanes: Lanes) -> None:
    """They hold what there is for it, and what threads work on; each keeps its first bytes, and none is read again."""
    store, limit = Store(), 2 * PIECE
    short_of_memory(lanes, limit)

    async def story() -> None:
        begun = many(lanes, store, room=0)
        await asyncio.gather(*(delivery.prime() for delivery, _ in begun))
        assert store.most <= limit + lanes.bytes.threads * PIECE
        assert store.held == lanes.limits.read_ahead.taken <= limit
        read = store.read
        assert read < MANY * PIECE // 2
        for delivery, _ in begun:
            delivery.drop()
            assert await anext(delivery) == CONTENT[:FIRST]
            delivery.let_go()
        assert (store.read, store.held, lanes.limits.read_ahead.taken) == (read, 0, 0)

    run(story)


def test_who_waits_for_a_thread_holds_no_more_than_there_is_for_it(lanes: Lanes) -> None:
    """All threads are taken when many go on at once; the bytes come all the same, and in their order."""
    store, limit, let_on = Store(), 2 * PIECE, threading.Event()
    short_of_memory(lanes, limit)

    async def sent(delivery: Delivery) -> int:
        return sum([len(piece) async for piece in delivery])

    async def story() -> None:
        begun = many(lanes, store, room=MIB)
        for delivery, _ in begun:
            await delivery.prime()
            await anext(delivery)
            assert len(await anext(delivery)) == MIB
            assert store.held == lanes.limits.read_ahead.taken <= limit
        held_up = [asyncio.create_task(lanes.bytes.insist(let_on.wait, 20)) for _ in range(lanes.bytes.threads)]
        going_on = [asyncio.create_task(sent(delivery)) for delivery, _ in begun]
        for _, wire in begun:
            wire.goes_on.set()
        while lanes.bytes._under_way < lanes.bytes.threads + MANY:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0)
        assert store.held == lanes.limits.read_ahead.taken <= limit
        store.most = 0
        let_on.set()
        await asyncio.gather(*held_up)
        assert await asyncio.gather(*going_on) == [len(CONTENT) - FIRST - MIB] * MANY
        assert store.most <= limit + lanes.bytes.threads * PIECE
        assert all(wire.taken == CONTENT[FIRST:] for _, wire in begun)
        assert (store.held, lanes.limits.read_ahead.taken) == (0, 0)

    run(story)


@attrs.define
class MeanwhileWire(StalledWire):
    """
    A client that takes a piece when the last one has been read, or `patience` seconds have passed.
    """

    store: Store = attrs.field(factory=Store)
    patience: float = 20

    def send(self, piece: memoryview) -> int:
        time.sleep(0.01)  # for whoever would read beside it
        until = time.monotonic() + self.patience
        while self.store.read < len(CONTENT) and time.monotonic() < until:
            time.sleep(0.001)
        return StalledWire.send(self, piece)

    async def until_writable(self) -> None:
        await self.goes_on.wait()
        self.room = len(CONTENT)


async def taken_by(lanes: Lanes, wire: StalledWire, read: Callable[[ByteRange], Iterator[Any]]) -> Delivery:
    """
    A delivery that has given the loop its first bytes.
    """
    lanes.bytes.processors = lanes.bytes.threads
    delivery = Delivery(lanes, read, ByteRange(0, len(CONTENT)), cast("Wire", wire))
    await delivery.prime()
    assert await anext(delivery) == CONTENT[:FIRST]
    return delivery


def test_the_next_piece_is_read_while_one_is_sent(lanes: Lanes) -> None:
    """By another thread, as long as one is idle; the bytes come in their order, and nothing is read twice."""
    store = Store()
    wire = MeanwhileWire(len(CONTENT), store=store)

    async def story() -> None:
        delivery = await taken_by(lanes, wire, store.pieces)
        assert [len(piece) async for piece in delivery] == [len(CONTENT) - FIRST]
        assert wire.taken == CONTENT[FIRST:]
        assert (store.read, store.held, lanes.limits.read_ahead.taken) == (len(CONTENT), 0, 0)

    run(story)


def test_a_piece_that_comes_late_is_waited_for(lanes: Lanes) -> None:
    """Its client has taken all before it meanwhile: nobody reads it a second time, or what is behind it."""
    store = Store()
    wire = StalledWire(len(CONTENT))

    def late(span: ByteRange) -> Iterator[Piece]:
        for number, piece in enumerate(store.pieces(span)):
            while number and len(wire.taken) < PIECE - FIRST:
                time.sleep(0.001)
            time.sleep(0.05)
            yield piece

    async def story() -> None:
        delivery = await taken_by(lanes, wire, late)
        assert [len(piece) async for piece in delivery] == [len(CONTENT) - FIRST]
        assert (bytes(wire.taken), store.read) == (CONTENT[FIRST:], len(CONTENT))

    run(story)


@pytest.mark.parametrize(
    ("limit", "is_brisk", "processors"), [(2 * PIECE - 1, True, 4), (64 * MIB, False, 4), (64 * MIB, True, 1)]
)
def test_nothing_is_read_while_sending_that_may_have_to_wait(
    lanes: Lanes, limit: int, processors: int, *, is_brisk: bool
) -> None:
    """Without memory for it, for a client that is slow, or where there is nobody to do it."""
    store = Store()
    wire = MeanwhileWire(len(CONTENT), is_brisk=is_brisk, store=store, patience=0.1)
    short_of_memory(lanes, limit)

    async def story() -> None:
        delivery = await taken_by(lanes, wire, store.pieces)
        lanes.bytes.processors = processors
        await anext(delivery)
        delivery.let_go()
        assert store.most <= PIECE

    run(story)


def test_what_was_read_while_sending_waits_where_it_is_counted(lanes: Lanes) -> None:
    """With the piece that its client stopped taking; what was dropped of both is read again."""
    store = Store()
    wire = MeanwhileWire(MIB, store=store)

    async def story() -> None:
        ahead = lanes.limits.read_ahead
        for drops in (False, True):
            store.read, wire.taken, wire.room = 0, bytearray(), MIB
            wire.goes_on.clear()
            delivery = await taken_by(lanes, wire, store.pieces)
            assert len(await anext(delivery)) == MIB
            assert (store.held, ahead.taken, store.read) == (2 * PIECE, 2 * PIECE, len(CONTENT))
            if drops:
                ahead.keep(Reader(), ahead.limit)
                assert (store.held, ahead.taken) == (0, ahead.limit)
            wire.goes_on.set()
            assert sum([len(piece) async for piece in delivery]) == len(CONTENT) - FIRST - MIB
            assert wire.taken == CONTENT[FIRST:]
            assert store.read == len(CONTENT) + drops * (len(CONTENT) - FIRST - MIB)
            delivery.let_go()

    run(story)


def test_what_was_read_while_sending_is_counted_while_it_waits_for_a_thread(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no thread may send any more, and the loop is to be given it."""
    monkeypatch.setattr("sft_http.transfers.download._TURN_BYTES", 1)
    store, let_on = Store(), threading.Event()
    wire = MeanwhileWire(len(CONTENT), store=store)

    async def story() -> None:
        delivery = await taken_by(lanes, wire, store.pieces)
        assert len(await anext(delivery)) == PIECE - FIRST
        held_up = [asyncio.create_task(lanes.bytes.insist(let_on.wait, 20)) for _ in range(lanes.bytes.threads)]
        await asyncio.sleep(0)
        wire.is_idle = False
        given = asyncio.create_task(anext(delivery))
        await asyncio.sleep(0.01)
        assert lanes.limits.read_ahead.taken == store.held == PIECE
        let_on.set()
        assert await given == CONTENT[PIECE : PIECE + FIRST]
        await asyncio.gather(*held_up)
        delivery.let_go()

    run(story)


def test_a_piece_that_failed_beside_another_is_read_again(lanes: Lanes) -> None:
    """When it is needed: what it failed for may be over, and nobody has noticed."""
    store, failed = Store(), list[int]()
    wire = StalledWire(len(CONTENT))

    def unsteady(span: ByteRange) -> Iterator[Piece]:
        for piece in store.pieces(span):
            if store.read > PIECE and not failed:
                failed.append(store.read)
                raise BlobStoreUnavailable("for a moment")
            yield piece

    async def story() -> None:
        delivery = await taken_by(lanes, wire, unsteady)
        assert [len(piece) async for piece in delivery] == [len(CONTENT) - FIRST]
        assert bytes(wire.taken) == CONTENT[FIRST:]
        assert failed

    run(story)


def test_an_error_of_the_next_piece_comes_out_behind_what_was_sent(lanes: Lanes) -> None:
    """Every byte before it has come; then it is this error, not an end."""
    store = Store()
    wire = StalledWire(len(CONTENT))

    def damaged(span: ByteRange) -> Iterator[Piece]:
        if span.start < PIECE:
            yield next(store.pieces(span))
        raise Damaged("its second part")

    async def story() -> None:
        delivery = await taken_by(lanes, wire, damaged)
        with pytest.raises(Damaged):
            await anext(delivery)
        assert wire.taken == CONTENT[FIRST:PIECE]
        delivery.let_go()
        assert (store.held, lanes.limits.read_ahead.taken) == (0, 0)

    run(story)


@pytest.mark.parametrize("limit", [0, PIECE - 1, 64 * MIB])
def test_the_loop_is_given_little_at_once(lanes: Lanes, limit: int) -> None:
    """It keeps what it is given until it is sent: where no thread may send, all of it goes in small pieces."""
    store = Store()
    short_of_memory(lanes, limit)

    async def story() -> None:
        delivery = Delivery(lanes, store.pieces, ByteRange(5, len(CONTENT)))
        await delivery.prime()
        pieces = [piece async for piece in delivery]
        assert b"".join(pieces) == CONTENT[5:]
        assert max(map(len, pieces)) == FIRST
        assert (store.held, lanes.limits.read_ahead.taken) == (0, 0)

    run(story)


@pytest.mark.parametrize("refusal", [Busy("no thread"), asyncio.CancelledError(), None])
def test_a_download_that_ends_before_it_begins_holds_nothing(
    make_edge: Callable[..., Edge], refusal: BaseException | None
) -> None:
    """It was refused, or its client has left, after its first bytes had been read; or it was answered to nobody."""
    service = make_edge(PART_SIZE=str(PIECE))
    token = service.sign_up()
    path = f"/files/{service.store(token, CONTENT)['id']}/share"
    link = service.call("POST", path, token=token, body={}).json["share_url"]
    ahead, held = service.lanes.limits.read_ahead, list[int]()

    def redeem(**_: object) -> None:
        held.append(ahead.taken)
        assert refusal is not None
        raise refusal

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: object) -> None:
        held.append(ahead.taken)
        raise ConnectionResetError

    async def fetch(app: Any) -> None:
        scope = {"type": "http", "method": "GET", "path": link, "headers": [(b"host", b"x")], "query_string": b""}
        await app(scope | {"http_version": "1.1", "asgi": {"version": "3.0"}}, receive, send)

    beside = service if refusal is None else service.beside(redeem_share_link=redeem)
    with pytest.raises((asyncio.CancelledError, ConnectionResetError)):
        asyncio.run(fetch(beside.client.app))
    assert (held[0], ahead.taken) == (PIECE, 0)


def test_a_start_that_is_refused_spends_no_download(make_edge: Callable[..., Edge]) -> None:
    """Too many wait for a thread: 503 with Retry-After, and the link serves as many downloads as before."""
    service = make_edge(READ_AHEAD_MIB="0")
    token = service.sign_up()
    path = f"/files/{service.store(token, CONTENT)['id']}/share"
    link = service.call("POST", path, token=token, body={"max_downloads": 1}).json["share_url"]
    lane = service.lanes.bytes
    get = partial(service.client.simulate_get, link)
    lane._under_way = lane.threads + lane.queue_limit
    refused = get()
    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (503, True)
    lane._under_way = 0
    assert get().content == CONTENT
    assert get().status_code != 200
