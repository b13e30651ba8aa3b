"""
Exchanges spoken message by message: bodies without a length, deliveries that break.
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
from sft_http.asgi.exchange import Exchange
from sft_http.concurrency.min_rate import Pace
from sft_http.concurrency.thread_pools import Lanes
from support.edge import END, Edge, file_part
from support.exchange import speak

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
def test_a_body_without_a_length_is_bounded_everywhere(small: Edge, before: bytes, after: bytes) -> None:
    """Before, in and behind the parts of a form, more than fits is refused long before its end; nothing stays."""
    spoken = speak(small, "POST", "/files/upload", small.sign_up(), [before, *[PIECE] * PIECES, after])
    assert spoken.status in {413, 422}
    assert spoken.taken <= LIMIT + (64 << 10) + 4 * len(PIECE)
    assert small.is_empty()


@pytest.mark.parametrize("content", [b"", b"x", bytes(LIMIT)])
def test_a_body_without_a_length_is_stored_whole(small: Edge, content: bytes) -> None:
    """Any file up to the limit is taken if its form really ends."""
    form = file_part(content) + END
    pieces = [form[start : start + 1000] for start in range(0, len(form), 1000)]
    assert speak(small, "POST", "/files/upload", small.sign_up(), pieces).status == 201


def test_a_delivery_that_breaks_says_so_in_the_log(service: Edge, token: str, caplog: pytest.LogCaptureFixture) -> None:
    """After damage behind the first piece the answer is left unfinished, and the log tells which one and why."""
    file = service.store(token, bytes(3 * 65_536))
    caplog.set_level(logging.INFO, logger="sft")
    path = f"/files/{file['id']}/download"
    assert speak(service, "GET", path, token).status == 200
    blobs = service.application.store_part.blobs
    *_, last = sorted(info.key for info in blobs.list())
    blobs.delete(last)
    last_message = speak(service, "GET", path, token).said[-1]
    assert last_message.get("more_body") is True
    (record,) = [record for record in caplog.records if record.name == "sft.edge"]
    told = record.__dict__["fields"]
    assert (record.levelname, told["code"]) == ("ERROR", "content-missing")
    whole, broken = [record.__dict__["fields"] for record in caplog.records if record.name == "sft.access"]
    assert (whole["status"], whole["complete"], whole["bytes"]) == (200, True, 3 * 65_536)
    assert (broken["status"], broken["complete"]) == (200, False)
    assert broken["bytes"] < 3 * 65_536
    assert broken["request_id"] == told["request_id"]


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


def test_a_delivery_whose_file_is_deleted_is_no_fault(
    service: Edge, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is left unfinished all the same, and the log tells it, but not as an error."""
    file = service.store(token, bytes(3 * 65_536))
    path, application = f"/files/{file['id']}", service.application
    *_, last = sorted(info.key for info in application.store_part.blobs.list())
    with application.find_file.begin(read_only=True) as unit:
        stored = unit.files.get(FileId.parse(file["id"]))
    assert stored is not None
    delete = partial(application.delete_file, owner=stored.owner, file_id=stored.id)
    blobs: Any = DeletedMeanwhile(application.read_file.blobs, last, delete)
    caplog.set_level(logging.INFO, logger="sft")
    beside = service.beside(read_file=attrs.evolve(application.read_file, blobs=blobs))
    last_message = speak(beside, "GET", f"{path}/download", token).said[-1]
    assert last_message.get("more_body") is True
    (told,) = [record for record in caplog.records if record.name == "sft.edge"]
    assert (told.levelname, told.__dict__["fields"]["code"]) == ("INFO", "file-not-found")
    assert service.call("GET", path, token=token).status_code == 404


@attrs.define
class Watched:
    """
    A body that is still to come, and how often the loop was kept from reading it.
    """

    kept: int = 0

    def begin(self) -> int:
        self.kept += 1
        return 2 * len(PIECE)

    def consumed(self, count: int) -> None:
        raise AssertionError(count)

    def end(self) -> None:
        self.kept -= 1


async def _nothing_is_sent(message: dict[str, Any]) -> None:
    raise AssertionError(message)


async def _always_more() -> dict[str, Any]:
    return {"type": "http.request", "body": PIECE, "more_body": True}


def an_exchange(
    lanes: Lanes,
    handoff: object,
    wire: object,
    *,
    receive: Callable[[], Awaitable[dict[str, Any]]] = _always_more,
    kind: bytes = b"image/png",
) -> Exchange:
    """
    A request with a body that is still to come, which a thread takes off a wire where there is one.
    """
    scope = {
        "type": "http",
        "headers": [(b"content-type", kind)],
        "sft.body_handoff": handoff,
        "sft.open_socket_handle": lambda: wire,
    }
    pace = Pace(patience_seconds=1, bytes_per_second=1)
    return Exchange(scope, receive, _nothing_is_sent, lanes=lanes, pace=pace, varies_by_origin=False)


def test_where_no_thread_can_have_the_socket_the_loop_goes_on_reading(lanes: Lanes) -> None:
    """When descriptors have run out there is no second handle; a body that comes fast comes by the loop then."""
    handoff = Watched()

    async def receive() -> dict[str, Any]:
        assert not handoff.kept
        return {"type": "http.request", "body": PIECE, "more_body": True}

    exchange = an_exchange(lanes, handoff, None, receive=receive)

    async def run() -> int:
        return sum([len((await exchange.receive())["body"]) for _ in range(3)])

    assert asyncio.run(run()) == 3 * len(PIECE)
    assert not handoff.kept


@attrs.define
class Generous:
    """
    A body of which there is always as much as is asked for.
    """

    asked: list[int] = attrs.field(factory=list)

    def begin(self) -> int:
        return 1 << 30

    def consumed(self, count: int) -> None:
        pass

    def end(self) -> None:
        raise AssertionError

    def receive(self, limit: int) -> bytes:
        self.asked.append(limit)
        return b"z" * limit

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("kind", "more"), [(b"image/png", 7 << 16), (b"multipart/form-data; boundary=b", 3 << 16)])
def test_what_comes_in_at_once_counts_until_more_is_asked_for(lanes: Lanes, kind: bytes, more: int) -> None:
    """Large pieces while there is memory, small ones when there is none, and nothing of it is kept at the end."""
    body, memory = Generous(), lanes.limits.memory

    exchange = an_exchange(lanes, body, body, kind=kind)

    async def run() -> list[int]:
        taken = []
        for left in (memory.limit, memory.limit, more - 1, more):
            memory.insist(memory.limit - left)
            await exchange.receive()
            taken.append(memory.taken - (memory.limit - left))
            memory.give_back(memory.limit - left)
        exchange.close()
        return taken

    assert asyncio.run(run()) == [0, more, 0, more]
    assert body.asked == [more + (1 << 16), 1 << 16, more + (1 << 16)]
    assert memory.taken == 0


@attrs.define
class Slow(Generous):
    """
    A body of which a piece comes when it is let.
    """

    has_started: threading.Event = attrs.field(factory=threading.Event)
    may_come: threading.Event = attrs.field(factory=threading.Event)
    taken: int = 0
    is_read_by_the_loop: bool = False

    def receive(self, limit: int) -> bytes:
        assert limit >= 1000
        self.has_started.set()
        assert self.may_come.wait(10)
        return b"z" * 1000

    def consumed(self, count: int) -> None:
        assert not self.is_read_by_the_loop
        self.taken += count

    def end(self) -> None:
        self.is_read_by_the_loop = True


def test_what_was_taken_off_the_wire_counts_though_nobody_waits_for_it(lanes: Lanes) -> None:
    """Else the loop, which reads on, would take so much of the next request for the rest of this body."""
    body = Slow()

    exchange = an_exchange(lanes, body, body)

    async def run() -> None:
        await exchange.receive()
        pulled = asyncio.create_task(exchange.receive())
        assert await asyncio.to_thread(body.has_started.wait, 10)
        pulled.cancel()
        await asyncio.sleep(0.01)
        body.may_come.set()
        with pytest.raises(asyncio.CancelledError):
            await pulled
        exchange.close()

    asyncio.run(run())
    assert (body.taken, body.is_read_by_the_loop) == (1000, True)
