"""
A disk that gets full, a real one: who needs room is told so at once, nobody else notices, and room is all it takes.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from support.clients.tus import RawTusClient
from support.clients.wire import Response, connected, multipart, receive, send
from support.servers.service import Service
from support.servers.small_disk import SmallDisk, serving_on_a_small_disk
from support.waiting import eventually

MIB = 1 << 20
LIGHT = {"ARGON2_MEMORY_KIB": "8192", "PART_SIZE": str(MIB), "USER_QUOTA": str(1 << 30)}
KEPT = os.urandom(3 * MIB + 77)
ROOM = 5 * MIB
"""What others leave of it while an upload comes that needs more."""
LARGE = 16 * MIB
AT_ONCE_SECONDS = 8
"""How long two dozen answers may take, where one call may wait for the database for longer."""
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    """
    A disk for the blobs only, which they may fill to its end.
    """
    root = tmp_path_factory.mktemp("full")
    with serving_on_a_small_disk(root, size="24m", at="data/blobs", settings=LIGHT | {"DISK_RESERVE": "0"}) as disk:
        yield disk


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    """
    A disk for everything: database, keys, blobs and the log.
    """
    root = tmp_path_factory.mktemp("shared")
    settings = LIGHT | {"DISK_RESERVE": str(4 * MIB)}
    with serving_on_a_small_disk(root, size="24m", log_at="data/sft.log", settings=settings) as disk:
        yield disk


def account(name: str) -> dict[str, str]:
    return {"email": f"{name}@example.org", "username": name, "password": PASSWORD}


def sign_in(service: Service, name: str) -> Response:
    return service.call("POST", "/auth/login", body={key: account(name)[key] for key in ("email", "password")})


def signed_up(service: Service, name: str) -> str:
    assert service.call("POST", "/auth/register", body=account(name)).status == 201
    return str(sign_in(service, name).json()["access_token"])


def put(service: Service, token: str, content: bytes) -> Response:
    with connected(service.port) as connection:
        send(connection, "PUT", f"{service.api}/files/some.bin", {"Authorization": f"Bearer {token}"}, len(content))
        connection.sendall(content)
        return receive(connection)


def listed(service: Service, token: str) -> set[str]:
    return {file["id"] for file in service.call("GET", "/files/", token=token).json()}


def remove_all(service: Service, token: str) -> None:
    """
    Delete every file of a user, which has to work each time.
    """
    for file in listed(service, token):
        assert service.call("DELETE", f"/files/{file}", token=token).status == 204


@attrs.frozen
class Way:
    """
    One of the ways to upload: the request that brings the bytes, but for its body, and what stands before them.
    """

    method: str
    path: str
    headers: dict[str, str]
    before: bytes = b""


def way_of(service: Service, token: str, way: str, size: int) -> Way:
    """
    How to upload so many bytes, which are announced; by tus they are to be created first.
    """
    bearer = {"Authorization": f"Bearer {token}"}
    if way == "form":
        headers, (before, _) = multipart("large.bin")
        return Way("POST", f"{service.api}/files/upload", headers | bearer, before)
    if way == "body":
        return Way("PUT", f"{service.api}/files/large.bin", bearer)
    maya = RawTusClient(service, token)
    return Way("PATCH", maya.create(size), maya.headers(Upload_Offset="0"))


def told_while_sending(disk: SmallDisk, way: Way, *, meanwhile: Callable[[], None]) -> Response:
    """
    The answer to a large upload that comes while it is sent: others take the room that there was at its beginning.
    """
    service, stored = disk.service, len(disk.service.stored())
    with connected(service.port) as connection:
        send(connection, way.method, way.path, way.headers, LARGE)
        connection.sendall(way.before + bytes(5 * MIB))
        eventually(lambda: len(service.stored()) > stored)
        disk.fill_leaving(ROOM)
        for _ in range(2 * ROOM // MIB):
            connection.sendall(bytes(MIB))
            if select.select([connection], [], [], 0)[0]:
                break
        meanwhile()
        # Nothing more will be sent.
        return receive(connection)


@pytest.mark.parametrize("name", ["form", "body", "tus"])
def test_an_upload_that_fills_the_disk_is_told_while_it_sends(full: SmallDisk, name: str) -> None:
    """507 in the middle of its body, and of what it brought nothing stays; tus keeps what it has acknowledged."""
    service = full.service
    token = signed_up(service, f"filling-{name}")
    neighbour = RawTusClient(service, signed_up(service, f"neighbour-{name}"))
    kept = put(service, neighbour.token, KEPT).json()["id"]
    before = full.free
    way = way_of(service, token, name, LARGE)

    def neighbour_reads() -> None:
        assert neighbour.content(kept) == KEPT

    try:
        response = told_while_sending(full, way, meanwhile=neighbour_reads)
        assert (response.status, response.json()["code"]) == (507, "insufficient-storage")
        assert "retry-after" not in response.headers
        assert listed(service, token) == set()
    finally:
        full.clear()
    if name == "tus":
        assert RawTusClient(service, token).call("DELETE", way.path).status == 204
    eventually(lambda: full.free == before)
    assert put(service, token, bytes(2 * MIB)).status == 201
    remove_all(service, token)
    remove_all(service, neighbour.token)
    eventually(full.is_tidy)


@pytest.mark.parametrize("name", ["form", "body", "tus"])
def test_what_cannot_fit_is_told_at_its_beginning(full: SmallDisk, name: str) -> None:
    """An upload that announces more than there is room for is 507 by its head, or soon in a form."""
    service = full.service
    token = signed_up(service, f"announcing-{name}")
    if name == "tus":
        response = RawTusClient(service, token).call(
            "POST", f"{service.api}/tus", Upload_Length=str(100 * MIB), Upload_Metadata="filename YQ=="
        )
    else:
        way = way_of(service, token, name, 100 * MIB)
        with connected(service.port) as connection:
            send(connection, way.method, way.path, way.headers, 100 * MIB)
            # The reader of forms looks at some of what follows the head of a part before it tells of it.
            connection.sendall(way.before + bytes(3 * MIB if name == "form" else 0))
            response = receive(connection)
    assert (response.status, response.json()["code"]) == (507, "insufficient-storage")
    eventually(full.is_tidy)


def test_a_resumable_upload_goes_on_when_there_is_room(full: SmallDisk) -> None:
    """Its offset is where the disk was full, it is not lost there, and the file is what was sent."""
    service, content = full.service, os.urandom(9 * MIB + 5)
    token = signed_up(service, "resuming")
    maya = RawTusClient(service, token)
    upload = maya.create(len(content))
    full.fill_leaving(ROOM)
    refused = maya.patch(upload, 0, content)
    assert (refused.status, refused.json()["code"]) == (507, "insufficient-storage")
    at = maya.offset(upload)
    assert 0 < at <= ROOM
    assert maya.patch(upload, at, content[at:]).status == 507
    assert maya.offset(upload) >= at
    full.clear()
    at = maya.offset(upload)
    file = maya.patch(upload, at, content[at:]).headers["x-file-id"]
    assert maya.content(file) == content
    assert service.call("DELETE", f"/files/{file}", token=token).status == 204
    eventually(full.is_tidy)


def test_on_a_full_disk_everything_but_storing_works(full: SmallDisk) -> None:
    """With not a byte left for blobs: signing up and in, lists, links, downloads, and deleting, which gives room."""
    service = full.service
    token = signed_up(service, "living")
    kept, other = (put(service, token, KEPT).json()["id"] for _ in range(2))
    full.fill()
    try:
        assert put(service, token, b"a byte or two").status == 507
        assert sign_in(service, "living").status == 200
        signed_up(service, "latecomer")
        assert listed(service, token) == {kept, other}
        link = service.call("POST", f"/files/{kept}/share", token=token, body={"max_downloads": 1}).json()
        assert service.call("GET", link["share_url"].removeprefix(service.api)).body == KEPT
        assert service.call("DELETE", f"/files/{other}", token=token).status == 204
        assert put(service, token, bytes(2 * MIB)).status == 201
    finally:
        full.clear()
    remove_all(service, token)
    eventually(full.is_tidy)


def test_no_room_is_told_from_no_quota(full: SmallDisk) -> None:
    """One is the service's, 507; the other the caller's, 413; each has its code."""
    service = full.service
    token = signed_up(service, "both")
    full.fill()
    try:
        no_room = put(service, token, bytes(MIB))
    finally:
        full.clear()
    with connected(service.port) as connection:
        headers = {"Authorization": f"Bearer {token}"}
        send(connection, "PUT", f"{service.api}/files/a", headers, 1 << 31)
        too_large = receive(connection)
    assert (no_room.status, no_room.json()["code"]) == (507, "insufficient-storage")
    assert (too_large.status, too_large.json()["code"]) == (413, "quota-exceeded")


def test_blobs_leave_the_database_its_room(shared: SmallDisk) -> None:
    """On a disk that holds everything, uploads end before it does: all else goes on, deleting most of all."""
    service = shared.service
    token = signed_up(service, "careful")
    files = [put(service, token, os.urandom(MIB)) for _ in range(25)]
    assert {response.status for response in files} == {201, 507}
    assert 2 * MIB < shared.free < 6 * MIB
    assert sign_in(service, "careful").status == 200
    signed_up(service, "newcomer")
    remove_all(service, token)
    eventually(shared.is_tidy)


def test_a_disk_full_to_the_last_byte_refuses_changes_and_nothing_else(shared: SmallDisk) -> None:
    """Another program has taken all of it, the log's room too: reading works, changes are 503, and room mends it."""
    service = shared.service
    token = signed_up(service, "stuck")
    kept = put(service, token, KEPT).json()["id"]
    begun = time.monotonic()
    shared.fill()
    try:
        for _ in range(3):
            refused = [
                put(service, token, b"small"),
                put(service, token, bytes(3 * MIB)),
                service.call("POST", "/auth/register", body=account("never")),
                service.call("POST", f"/files/{kept}/share", token=token, body={}),
                service.call("DELETE", f"/files/{kept}", token=token),
            ]
            assert {response.status for response in refused} <= {503, 507}
            assert {response.json()["code"] for response in refused} <= {"database-unavailable", "insufficient-storage"}
            assert RawTusClient(service, token).content(kept) == KEPT
            assert listed(service, token) == {kept}
            assert service.call("GET", "/auth/me", token=token).status == 200
        assert time.monotonic() - begun < AT_ONCE_SECONDS, "somebody was let wait for room"
    finally:
        shared.clear()
    assert put(service, token, b"small").status == 201
    signed_up(service, "again")
    remove_all(service, token)
    eventually(shared.is_tidy)


def lines(log: Path) -> list[dict[str, Any]]:
    """
    The lines of a log that are whole; one that met the end of the disk may not be.
    """
    found = []
    for line in log.read_text(errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def test_a_log_without_room_ends_nothing(shared: SmallDisk) -> None:
    """While its lines are lost requests are answered, and when there is room again there are lines again."""
    service = shared.service
    shared.fill()
    try:
        # More than the buffer of a stream holds.
        for _ in range(200):
            assert service.call("GET", "/files/").status == 401
    finally:
        shared.clear()
    assert service.process.poll() is None
    before = len(lines(service.log))
    for _ in range(5):
        assert service.call("GET", "/files/").status == 401
    eventually(lambda: len(lines(service.log)) >= before + 4)


def test_a_start_whose_words_find_no_room_is_a_start(tmp_path: Path) -> None:
    """What it says when it listens goes where there is no room: it listens all the same, and ends as it should."""
    # With a buffer, as by default: what finds no room stays in it and is tried again at the end.
    settings = {**LIGHT, "PYTHONUNBUFFERED": ""}
    with serving_on_a_small_disk(tmp_path, size="4m", log_at="/dev/full", settings=settings) as disk:
        assert disk.service.call("GET", "/files/").status == 401
        disk.service.process.send_signal(signal.SIGTERM)
        assert disk.service.process.wait(20) == 0
