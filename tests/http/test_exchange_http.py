"""
Exchanges spoken message by message: bodies without a length, clients that leave, deliveries that break.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

import attrs
import pytest

from support.edge import API, END, Edge, field_part, file_part

LIMIT = 100_000
PIECE = b"z" * 65_536
PIECES = 40


@attrs.define
class Spoken:
    """What was said in one exchange."""

    taken: int = 0
    said: list[dict[str, Any]] = attrs.field(factory=list)

    @property
    def status(self) -> int:
        return int(self.said[0]["status"])

    @property
    def problem(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(b"".join(message.get("body", b"") for message in self.said[1:]))
        return found


def speak(
    service: Edge, method: str, path: str, token: str, pieces: Iterable[bytes] = (), *, leaves: bool = False
) -> Spoken:
    """A request whose body has no announced length; the client ends it properly or leaves."""
    spoken = Spoken()
    waiting = iter(pieces)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": API + path,
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"files.example.org"),
            (b"authorization", f"Bearer {token}".encode()),
            (b"content-type", b"multipart/form-data; boundary=b"),
        ],
    }

    async def receive() -> dict[str, Any]:
        for piece in waiting:
            spoken.taken += len(piece)
            return {"type": "http.request", "body": piece, "more_body": True}
        if leaves:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        spoken.said.append(message)

    app: Any = service.client.app
    asyncio.run(app(scope, receive, send))
    return spoken


@pytest.fixture
def small(serve: Callable[..., Edge]) -> Edge:
    return serve(MAX_FILE_SIZE=str(LIMIT))


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


FORM = field_part("is_public", "true") + file_part(b"y" * 70_000) + END


@pytest.mark.parametrize("length", [1, 50, 200, 60_000, 70_200, len(FORM) - 5, len(FORM)])
def test_a_client_that_leaves_stores_nothing(small: Edge, length: int) -> None:
    """A disconnect anywhere, even behind the closing boundary, is no end of a body without a length."""
    form = FORM[:length]
    pieces = [form[start : start + 30_000] for start in range(0, len(form), 30_000)]
    spoken = speak(small, "POST", "/files/upload", small.sign_up(), pieces, leaves=True)
    assert (spoken.status, spoken.problem["code"]) in {(400, "malformed-request"), (400, "upload-incomplete")}
    assert small.is_empty()


def test_a_delivery_that_breaks_says_so_in_the_log(
    serve: Callable[..., Edge], caplog: pytest.LogCaptureFixture
) -> None:
    """After damage behind the first piece the answer is left unfinished, and the log tells which one and why."""
    service = serve()
    token = service.sign_up()
    file = service.store(token, bytes(3 * 65_536))
    caplog.set_level(logging.INFO, logger="sft")
    path = f"/files/{file['id']}/download"
    assert speak(service, "GET", path, token).status == 200
    blobs = service.application.store_part.blobs
    *_, last = sorted(info.key for info in blobs.list())
    blobs.delete(last)
    last_message = speak(service, "GET", path, token).said[-1]
    assert last_message.get("more_body") is True
    (told,) = [record.__dict__["fields"] for record in caplog.records if record.name == "sft.edge"]
    assert told["code"] == "content-missing"
    whole, broken = [record.__dict__["fields"] for record in caplog.records if record.name == "sft.access"]
    assert (whole["status"], whole["complete"], whole["bytes"]) == (200, True, 3 * 65_536)
    assert (broken["status"], broken["complete"]) == (200, False)
    assert broken["bytes"] < 3 * 65_536
    assert broken["request_id"] == told["request_id"]


@pytest.mark.parametrize("given", [None, "trace-0001", "a.b_c-d.", "0" * 64])
def test_every_problem_names_its_request_by_a_valid_uri(serve: Callable[..., Edge], given: str | None) -> None:
    """`instance` is a URN (RFC 8141) that holds the request's id, whoever gave it."""
    answer = serve().call("GET", "//nowhere", headers={"X-Request-ID": given} if given else None)
    identity = answer.headers["x-request-id"]
    uuid = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    assert answer.json["instance"].endswith(identity)
    assert (uuid if given is None else re.compile(r"urn:sft:request:[A-Za-z0-9._-]+")).fullmatch(
        answer.json["instance"]
    )


@pytest.mark.parametrize(("status", "title"), [(413, "Content Too Large"), (416, "Range Not Satisfiable")])
def test_titles_are_those_of_the_status(serve: Callable[..., Edge], status: int, title: str) -> None:
    """A problem without a type of its own has the status line's phrase as its title, on every Python."""
    service = serve()
    token = service.sign_up()
    if status == 416:
        file = service.store(token, b"x")
        answer = service.call("GET", f"/files/{file['id']}/download", token=token, headers={"Range": "bytes=9-"})
    else:
        answer = service.call("POST", "/auth/login", raw=b" " * 100_000, headers={"Content-Type": "application/json"})
    assert answer.status == f"{status} {title}"
    assert answer.json["title"] == title
