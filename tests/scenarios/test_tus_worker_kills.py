"""
Bytes acknowledged by an upload's offset survive a worker that is killed at any moment.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.clients.tus import RawTusClient, kill_workers
from support.clients.wire import connected, receive, send
from support.servers.service import Service, serving
from support.waiting import eventually

pytestmark = pytest.mark.xdist_group("tus-killed")

PART = 64 << 10
CONTENT = os.urandom(20 * PART + 321)


@pytest.fixture(scope="module")
def killed_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {"ARGON2_MEMORY_KIB": "8192", "PART_SIZE": str(PART)}
    with serving(tmp_path_factory.mktemp("killed"), settings=settings) as service:
        yield service


@pytest.fixture(scope="module")
def maya(killed_service: Service) -> RawTusClient:
    return RawTusClient(killed_service, killed_service.sign_up("killed"))


def offset(maya: RawTusClient, upload: str) -> int:
    """
    Return the upload's offset, repeating the request while connections to killed workers fail.
    """
    offsets: list[int] = []

    def answered() -> bool:
        with suppress(OSError, AssertionError):
            offsets.append(maya.offset(upload))
        return bool(offsets)

    eventually(answered)
    return offsets[-1]


def test_acknowledged_bytes_survive_kills_between_requests(maya: RawTusClient) -> None:
    """The workers are killed after each PATCH; the next HEAD reports the acknowledged offset."""
    upload, at = maya.create(len(CONTENT)), 0
    for size in (1, PART, 3 * PART + 7, 100):
        response = maya.patch(upload, at, CONTENT[at : at + size])
        at += size
        assert (response.status, response.headers["upload-offset"]) == (204, str(at))
        kill_workers(maya.service)
        assert offset(maya, upload) == at
    response = maya.patch(upload, at, CONTENT[at:])
    assert maya.content(response.headers["x-file-id"]) == CONTENT


@pytest.mark.parametrize("sent", [3 * PART + 100, 11 * PART + 100])
def test_offset_reported_during_a_request_survives_a_kill(maya: RawTusClient, sent: int) -> None:
    """The new offset is not below the one a concurrent HEAD reported, and the client resumes from it."""
    upload = maya.create(len(CONTENT))
    with connected(maya.service.port) as connection:
        send(connection, "PATCH", upload, maya.headers(Upload_Offset="0"), len(CONTENT))
        connection.sendall(CONTENT[:sent])
        eventually(lambda: maya.offset(upload) >= sent // PART * PART)
        reported = maya.offset(upload)
        kill_workers(maya.service)
        with suppress(OSError):
            connection.recv(1)
    at = offset(maya, upload)
    assert reported <= at <= sent
    response = maya.patch(upload, at, CONTENT[at:])
    assert maya.content(response.headers["x-file-id"]) == CONTENT


def test_hung_request_is_superseded_by_the_next(maya: RawTusClient) -> None:
    """The next request continues from the offset, and late bytes of the hung request are not stored."""
    upload = maya.create(len(CONTENT))
    with connected(maya.service.port) as hung:
        send(hung, "PATCH", upload, maya.headers(Upload_Offset="0"), len(CONTENT))
        hung.sendall(CONTENT[: 2 * PART + 5])
        eventually(lambda: maya.offset(upload) == 2 * PART)
        response = maya.patch(upload, 2 * PART, CONTENT[2 * PART : 3 * PART])
        assert (response.status, response.headers["upload-offset"]) == (204, str(3 * PART))
        late = send_late_bytes(hung)
    assert late in {409, 0}
    response = maya.patch(upload, 3 * PART, CONTENT[3 * PART :])
    assert maya.content(response.headers["x-file-id"]) == CONTENT


def send_late_bytes(hung: socket.socket) -> int:
    """
    Send the remaining bytes of a hung request and return its status, or 0 if the service has closed the connection.
    """
    try:
        hung.sendall(b"\0" * (len(CONTENT) - 2 * PART - 5))
        return receive(hung).status
    except OSError:
        return 0


def test_stop_during_a_request_keeps_every_received_byte(tmp_path: Path) -> None:
    """On SIGTERM the service stores its incomplete part, and the upload continues after a restart."""
    settings = {"ARGON2_MEMORY_KIB": "8192", "PART_SIZE": str(PART), "GRACEFUL_STOP_SECONDS": "1"}
    sent = 2 * PART + 77
    with serving(tmp_path, settings=settings) as first:
        maya = RawTusClient(first, first.sign_up("stopped"))
        upload = maya.create(len(CONTENT))
        with connected(first.port) as connection:
            send(connection, "PATCH", upload, maya.headers(Upload_Offset="0"), len(CONTENT))
            connection.sendall(CONTENT[:sent])
            eventually(lambda: maya.offset(upload) == 2 * PART)
            first.process.send_signal(signal.SIGTERM)
            assert first.process.wait(20) == 0
    with serving(tmp_path, settings=settings) as second:
        again = RawTusClient(second, maya.token)
        assert again.offset(upload) == sent
        response = again.patch(upload, sent, CONTENT[sent:])
        assert again.content(response.headers["x-file-id"]) == CONTENT
