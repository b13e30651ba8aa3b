"""
Exchanges message by message: bodies without a length, bodies received by threads, downloads that are cut off.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import attrs
import pytest

from sft_core.values import FileId
from sft_core.vault.ports import BlobStore
from sft_http.asgi.connection import Connection
from sft_http.asgi.exchange import Exchange
from sft_http.concurrency.min_rate import MinimumRate
from sft_http.concurrency.thread_pools import ThreadPools
from support.app.edge import END, Edge, file_part
from support.app.exchange import send_messages

LIMIT = 100_000
PIECE = b"z" * 65_536
PIECES = 40


@pytest.fixture
def small(make_edge: Callable[..., Edge]) -> Edge:
    return make_edge(MAX_FILE_SIZE=str(LIMIT))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"\r\n" + file_part(b"x") + END),
        (file_part(b"x") + END, b""),
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n', b"\r\n" + END),
        (file_part(b"x") + b'--b\r\nContent-Disposition: form-data; name="is_public"\r\n\r\n', b"\r\n" + END),
    ],
    ids=["prologue", "epilogue", "file", "field"],
)
def test_body_without_a_length_is_limited_everywhere(small: Edge, before: bytes, after: bytes) -> None:
    """An excess before, in or after the parts of a form is rejected long before the body ends; nothing is left."""
    exchange = send_messages(small, "POST", "/files/upload", small.sign_up(), [before, *[PIECE] * PIECES, after])
    assert exchange.status in {413, 422}
    assert exchange.received_bytes <= LIMIT + (64 << 10) + 4 * len(PIECE)
    assert small.is_empty()


@pytest.mark.parametrize("content", [b"", b"x", bytes(LIMIT)])
def test_body_without_a_length_is_stored_completely(small: Edge, content: bytes) -> None:
    """Any file up to the limit is accepted if its form has its closing boundary."""
    form = file_part(content) + END
    pieces = [form[start : start + 1000] for start in range(0, len(form), 1000)]
    assert send_messages(small, "POST", "/files/upload", small.sign_up(), pieces).status == 201


def test_interrupted_download_is_logged(service: Edge, token: str, caplog: pytest.LogCaptureFixture) -> None:
    """If a later part is missing the response is left unfinished, and the log has its id and the reason."""
    file = service.store(token, bytes(3 * 65_536))
    caplog.set_level(logging.INFO, logger="sft")
    path = f"/files/{file['id']}/download"
    assert send_messages(service, "GET", path, token).status == 200
    blobs = service.application.vault.store_part.blobs
    *_, last = sorted(info.key for info in blobs.list())
    blobs.delete(last)
    last_message = send_messages(service, "GET", path, token).messages[-1]
    assert last_message.get("more_body") is True
    (record,) = [record for record in caplog.records if record.name == "sft.edge"]
    logged = record.__dict__["fields"]
    assert (record.levelname, logged["code"]) == ("ERROR", "content-missing")
    finished, interrupted = [record.__dict__["fields"] for record in caplog.records if record.name == "sft.access"]
    assert (finished["status"], finished["complete"], finished["bytes"]) == (200, True, 3 * 65_536)
    assert (interrupted["status"], interrupted["complete"]) == (200, False)
    assert interrupted["bytes"] < 3 * 65_536
    assert interrupted["request_id"] == logged["request_id"]


@attrs.frozen
class DeletedMeanwhile:
    """
    A blob store from which a file is deleted just before one of its parts is read.
    """

    _blobs: BlobStore
    _key: str
    _delete: Callable[[], object]

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        if key == self._key:
            self._delete()
        self._blobs.read_into(key, start, buffer, size=size)


def test_download_of_a_deleted_file_is_not_logged_as_an_error(
    service: Edge, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The response is left unfinished all the same, and the log reports it at level INFO."""
    file = service.store(token, bytes(3 * 65_536))
    path, application = f"/files/{file['id']}", service.application
    *_, last = sorted(info.key for info in application.vault.store_part.blobs.list())
    with application.vault.find_file.begin(read_only=True) as unit:
        stored = unit.files.get(FileId.parse(file["id"]))
    assert stored is not None
    delete = partial(application.vault.delete_file, owner=stored.owner, file_id=stored.id)
    blobs: Any = DeletedMeanwhile(application.vault.read_file.blobs, last, delete)
    caplog.set_level(logging.INFO, logger="sft")
    edge = service.with_use_cases(read_file=attrs.evolve(application.vault.read_file, blobs=blobs))
    last_message = send_messages(edge, "GET", f"{path}/download", token).messages[-1]
    assert last_message.get("more_body") is True
    (logged,) = [record for record in caplog.records if record.name == "sft.edge"]
    assert (logged.levelname, logged.__dict__["fields"]["code"]) == ("INFO", "file-not-found")
    assert service.call("GET", path, token=token).status_code == 404


async def _send_nothing(message: dict[str, Any]) -> None:
    raise AssertionError(message)


async def _receive_piece() -> dict[str, Any]:
    return {"type": "http.request", "body": PIECE, "more_body": True}


def exchange_with(
    pools: ThreadPools,
    connection: Connection,
    *,
    receive: Callable[[], Awaitable[dict[str, Any]]] = _receive_piece,
    media_type: bytes = b"image/png",
) -> Exchange:
    """
    A request on this connection whose body is not received yet.
    """
    return Exchange(
        {"type": "http", "headers": [(b"content-type", media_type)]},
        receive,
        _send_nothing,
        connection=connection,
        pools=pools,
        minimum_rate=MinimumRate(tolerance_seconds=1, bytes_per_second=1),
        varies_by_origin=False,
    )


@attrs.define(eq=False)
class WithoutHandle(Connection):
    """
    A connection whose body could be handed off, without a handle on its socket.
    """

    paused: int = 0

    def begin_handoff(self) -> int:
        self.paused += 1
        return 2 * len(PIECE)

    def record_handoff(self, count: int, *, ended: bool) -> None:
        raise AssertionError(count, ended)


def test_without_a_socket_handle_the_event_loop_receives_the_body(pools: ThreadPools) -> None:
    """When file descriptors are exhausted there is no second handle; the event loop is never paused then."""
    connection = WithoutHandle()

    async def receive() -> dict[str, Any]:
        assert not connection.paused
        return await _receive_piece()

    exchange = exchange_with(pools, connection, receive=receive)

    async def run() -> int:
        return sum([len((await exchange.receive())["body"]) for _ in range(3)])

    assert asyncio.run(run()) == 3 * len(PIECE)
    assert not connection.paused


@attrs.define(eq=False)
class EndlessBody(Connection):
    """
    A connection on whose socket as many bytes arrive as are requested.
    """

    requested: list[int] = attrs.field(factory=list)

    def open_socket_handle(self) -> Any:
        return EndlessHandle(self)

    def begin_handoff(self) -> int:
        return 1 << 30

    def record_handoff(self, count: int, *, ended: bool) -> None:
        assert count
        assert not ended

    def receive(self, limit: int) -> bytes:
        self.requested.append(limit)
        return b"z" * limit


@attrs.frozen
class EndlessHandle:
    """
    The handle on the socket of an `EndlessBody`.
    """

    body: EndlessBody

    def receive(self, limit: int) -> bytes:
        return self.body.receive(limit)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("media_type", "more"), [(b"image/png", 7 << 16), (b"multipart/form-data; boundary=b", 3 << 16)]
)
def test_a_piece_received_by_a_thread_counts_until_the_next_one(
    pools: ThreadPools, media_type: bytes, more: int
) -> None:
    """Pieces are large while the memory budget lasts, else small; at the end all of it is released."""
    body, memory = EndlessBody(), pools.limits.memory
    exchange = exchange_with(pools, body, media_type=media_type)

    async def run() -> list[int]:
        borrowed = []
        for left in (memory.limit, memory.limit, more - 1, more):
            memory.acquire_always(memory.limit - left)
            await exchange.receive()
            borrowed.append(memory.in_use - (memory.limit - left))
            memory.release(memory.limit - left)
        exchange.close()
        return borrowed

    assert asyncio.run(run()) == [0, more, 0, more]
    assert body.requested == [more + (1 << 16), 1 << 16, more + (1 << 16)]
    assert memory.in_use == 0


@attrs.define(eq=False)
class SlowBody(EndlessBody):
    """
    A body of which a thread receives a piece only once the test permits it.
    """

    has_started: threading.Event = attrs.field(factory=threading.Event)
    may_arrive: threading.Event = attrs.field(factory=threading.Event)
    consumed_bytes: int = 0
    has_ended: bool = False

    def receive(self, limit: int) -> bytes:
        assert limit >= 1000
        self.has_started.set()
        assert self.may_arrive.wait(10)
        return b"z" * 1000

    def record_handoff(self, count: int, *, ended: bool) -> None:
        assert not self.has_ended
        self.consumed_bytes += count
        self.has_ended = ended


def test_a_request_cancelled_while_a_thread_receives_counts_the_bytes(pools: ThreadPools) -> None:
    """Else the event loop would take as many bytes of the next request for the rest of this body."""
    body = SlowBody()
    exchange = exchange_with(pools, body)

    async def run() -> None:
        await exchange.receive()
        receiving = asyncio.create_task(exchange.receive())
        assert await asyncio.to_thread(body.has_started.wait, 10)
        receiving.cancel()
        await asyncio.sleep(0.01)
        body.may_arrive.set()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        exchange.close()

    asyncio.run(run())
    assert (body.consumed_bytes, body.has_ended) == (1000, True)
