"""
A real disk that becomes full: uploads are refused at once, other requests work, and free space ends the refusals.
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
FREE_SPACE = 5 * MIB
"""Free space that is left while an upload that needs more is being sent."""
LARGE = 16 * MIB
PROMPT_SECONDS = 8
"""Upper bound for two dozen responses; one call may wait longer than this for the database."""
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def blob_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    """
    A small file system for the blobs only, without a reserve.
    """
    root = tmp_path_factory.mktemp("blob_disk")
    with serving_on_a_small_disk(root, size="24m", at="data/blobs", settings=LIGHT | {"DISK_RESERVE": "0"}) as disk:
        yield disk


@pytest.fixture(scope="module")
def data_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    """
    A small file system for database, keys, blobs and the log.
    """
    root = tmp_path_factory.mktemp("data_disk")
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
    Delete every file of a user; each deletion has to succeed.
    """
    for file in listed(service, token):
        assert service.call("DELETE", f"/files/{file}", token=token).status == 204


@attrs.frozen
class UploadRequest:
    """
    The request of one upload method, without its body, and the bytes before the content.
    """

    method: str
    path: str
    headers: dict[str, str]
    before: bytes = b""


def upload_request(service: Service, token: str, method: str, size: int) -> UploadRequest:
    """
    Return the request that uploads this many announced bytes; a tus upload is created first.
    """
    bearer = {"Authorization": f"Bearer {token}"}
    if method == "form":
        headers, (before, _) = multipart("large.bin")
        return UploadRequest("POST", f"{service.api}/files/upload", headers | bearer, before)
    if method == "body":
        return UploadRequest("PUT", f"{service.api}/files/large.bin", bearer)
    maya = RawTusClient(service, token)
    return UploadRequest("PATCH", maya.create(size), maya.headers(Upload_Offset="0"))


def response_while_sending(disk: SmallDisk, request: UploadRequest, *, meanwhile: Callable[[], None]) -> Response:
    """
    Return the response to a large upload that is still being sent while the disk becomes full.
    """
    service, stored = disk.service, len(disk.service.stored())
    with connected(service.port) as connection:
        send(connection, request.method, request.path, request.headers, LARGE)
        connection.sendall(request.before + bytes(5 * MIB))
        eventually(lambda: len(service.stored()) > stored)
        disk.fill_leaving(FREE_SPACE)
        for _ in range(2 * FREE_SPACE // MIB):
            connection.sendall(bytes(MIB))
            if select.select([connection], [], [], 0)[0]:
                break
        meanwhile()
        # The client sends nothing more: the response has to arrive before the rest of the body.
        return receive(connection)


@pytest.mark.parametrize("method", ["form", "body", "tus"])
def test_upload_that_fills_the_disk_gets_507_before_its_body_ends(blob_disk: SmallDisk, method: str) -> None:
    """A form or plain upload leaves nothing on the disk; a tus upload keeps its acknowledged bytes."""
    service = blob_disk.service
    token = signed_up(service, f"filling-{method}")
    neighbour = RawTusClient(service, signed_up(service, f"neighbour-{method}"))
    kept = put(service, neighbour.token, KEPT).json()["id"]
    before = blob_disk.free
    request = upload_request(service, token, method, LARGE)

    def neighbour_reads() -> None:
        assert neighbour.content(kept) == KEPT

    try:
        response = response_while_sending(blob_disk, request, meanwhile=neighbour_reads)
        assert (response.status, response.json()["code"]) == (507, "insufficient-storage")
        assert "retry-after" not in response.headers
        assert listed(service, token) == set()
    finally:
        blob_disk.clear()
    if method == "tus":
        assert RawTusClient(service, token).call("DELETE", request.path).status == 204
    eventually(lambda: blob_disk.free == before)
    assert put(service, token, bytes(2 * MIB)).status == 201
    remove_all(service, token)
    remove_all(service, neighbour.token)
    eventually(blob_disk.is_tidy)


@pytest.mark.parametrize("method", ["form", "body", "tus"])
def test_upload_larger_than_the_free_space_is_refused_by_its_announced_size(blob_disk: SmallDisk, method: str) -> None:
    """The status is 507 after the head, or early in the body of a form."""
    service = blob_disk.service
    token = signed_up(service, f"announcing-{method}")
    if method == "tus":
        response = RawTusClient(service, token).call(
            "POST", f"{service.api}/tus", Upload_Length=str(100 * MIB), Upload_Metadata="filename YQ=="
        )
    else:
        request = upload_request(service, token, method, 100 * MIB)
        with connected(service.port) as connection:
            send(connection, request.method, request.path, request.headers, 100 * MIB)
            # The form parser buffers some of the content before it yields the file field.
            connection.sendall(request.before + bytes(3 * MIB if method == "form" else 0))
            response = receive(connection)
    assert (response.status, response.json()["code"]) == (507, "insufficient-storage")
    eventually(blob_disk.is_tidy)


def test_resumable_upload_continues_once_space_is_free(blob_disk: SmallDisk) -> None:
    """The full disk ends a request with 507; the offset does not decrease, and the file is complete in the end."""
    service, content = blob_disk.service, os.urandom(9 * MIB + 5)
    token = signed_up(service, "resuming")
    maya = RawTusClient(service, token)
    upload = maya.create(len(content))
    blob_disk.fill_leaving(FREE_SPACE)
    refused = maya.patch(upload, 0, content)
    assert (refused.status, refused.json()["code"]) == (507, "insufficient-storage")
    at = maya.offset(upload)
    assert 0 < at <= FREE_SPACE
    assert maya.patch(upload, at, content[at:]).status == 507
    assert maya.offset(upload) >= at
    blob_disk.clear()
    at = maya.offset(upload)
    file = maya.patch(upload, at, content[at:]).headers["x-file-id"]
    assert maya.content(file) == content
    assert service.call("DELETE", f"/files/{file}", token=token).status == 204
    eventually(blob_disk.is_tidy)


def test_full_blob_disk_refuses_only_uploads(blob_disk: SmallDisk) -> None:
    """Registration, sign-in, listing, links, downloads and deletion work, and a deletion makes space for an upload."""
    service = blob_disk.service
    token = signed_up(service, "living")
    kept, other = (put(service, token, KEPT).json()["id"] for _ in range(2))
    blob_disk.fill()
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
        blob_disk.clear()
    remove_all(service, token)
    eventually(blob_disk.is_tidy)


def test_full_disk_and_exceeded_quota_have_different_errors(blob_disk: SmallDisk) -> None:
    """A full disk is 507 `insufficient-storage`, an exceeded quota 413 `quota-exceeded`."""
    service = blob_disk.service
    token = signed_up(service, "both")
    blob_disk.fill()
    try:
        disk_full = put(service, token, bytes(MIB))
    finally:
        blob_disk.clear()
    with connected(service.port) as connection:
        headers = {"Authorization": f"Bearer {token}"}
        send(connection, "PUT", f"{service.api}/files/a", headers, 1 << 31)
        too_large = receive(connection)
    assert (disk_full.status, disk_full.json()["code"]) == (507, "insufficient-storage")
    assert (too_large.status, too_large.json()["code"]) == (413, "quota-exceeded")


def test_disk_reserve_is_kept_for_the_database(data_disk: SmallDisk) -> None:
    """Uploads are refused before the shared disk is full; sign-in, registration and deletion still work."""
    service = data_disk.service
    token = signed_up(service, "careful")
    files = [put(service, token, os.urandom(MIB)) for _ in range(25)]
    assert {response.status for response in files} == {201, 507}
    assert 2 * MIB < data_disk.free < 6 * MIB
    assert sign_in(service, "careful").status == 200
    signed_up(service, "newcomer")
    remove_all(service, token)
    eventually(data_disk.is_tidy)


def test_shared_disk_without_free_space_refuses_only_changes(data_disk: SmallDisk) -> None:
    """Another program has filled it: reads work, changes are 503 or 507, and they succeed once space is free."""
    service = data_disk.service
    token = signed_up(service, "stuck")
    kept = put(service, token, KEPT).json()["id"]
    started_at = time.monotonic()
    data_disk.fill()
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
        assert time.monotonic() - started_at < PROMPT_SECONDS, "a request waited for free space"
    finally:
        data_disk.clear()
    assert put(service, token, b"small").status == 201
    signed_up(service, "again")
    remove_all(service, token)
    eventually(data_disk.is_tidy)


def log_lines(log: Path) -> list[dict[str, Any]]:
    """
    Return the complete lines of a log; a line written when the disk became full may be truncated.
    """
    found = []
    for line in log.read_text(errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def test_log_on_a_full_disk_does_not_stop_the_service(data_disk: SmallDisk) -> None:
    """Requests are answered while log lines are lost, and lines are written again once space is free."""
    service = data_disk.service
    data_disk.fill()
    try:
        # More lines than fit into the buffer of a stream.
        for _ in range(200):
            assert service.call("GET", "/files/").status == 401
    finally:
        data_disk.clear()
    assert service.process.poll() is None
    before = len(log_lines(service.log))
    for _ in range(5):
        assert service.call("GET", "/files/").status == 401
    eventually(lambda: len(log_lines(service.log)) >= before + 4)


def test_start_with_unwritable_output_serves_requests(tmp_path: Path) -> None:
    """The start-up message cannot be written: the service serves, and SIGTERM ends it with status 0."""
    # With Python's default buffering: bytes that cannot be written stay buffered and are written again at exit.
    settings = {**LIGHT, "PYTHONUNBUFFERED": ""}
    with serving_on_a_small_disk(tmp_path, size="4m", log_at="/dev/full", settings=settings) as disk:
        assert disk.service.call("GET", "/files/").status == 401
        disk.service.process.send_signal(signal.SIGTERM)
        assert disk.service.process.wait(20) == 0
