"""
What an upload's offset has promised outlives a worker that is killed at any moment.
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
    How far the upload is, however often the connection is lost to a worker that is gone.
    """
    told: list[int] = []

    def answered() -> bool:
        with suppress(OSError, AssertionError):
            told.append(maya.offset(upload))
        return bool(told)

    eventually(answered)
    return told[-1]


def test_what_was_acknowledged_outlives_kills_between_requests(maya: RawTusClient) -> None:
    """After each PATCH its worker is killed; every offset that was told is there, to the byte."""
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
def test_what_was_told_outlives_a_kill_in_the_middle(maya: RawTusClient, sent: int) -> None:
    """While a request brings bytes, an offset that a HEAD tells meanwhile is a promise too; the rest is sent again."""
    upload = maya.create(len(CONTENT))
    with connected(maya.service.port) as connection:
        send(connection, "PATCH", upload, maya.headers(Upload_Offset="0"), len(CONTENT))
        connection.sendall(CONTENT[:sent])
        eventually(lambda: maya.offset(upload) >= sent // PART * PART)
        told = maya.offset(upload)
        kill_workers(maya.service)
        with suppress(OSError):
            connection.recv(1)
    at = offset(maya, upload)
    assert told <= at <= sent
    response = maya.patch(upload, at, CONTENT[at:])
    assert maya.content(response.headers["x-file-id"]) == CONTENT


def test_a_request_that_hangs_loses_at_once(maya: RawTusClient) -> None:
    """Its connection stays open and silent; the next request goes on from the offset, and the first adds nothing."""
    upload = maya.create(len(CONTENT))
    with connected(maya.service.port) as hung:
        send(hung, "PATCH", upload, maya.headers(Upload_Offset="0"), len(CONTENT))
        hung.sendall(CONTENT[: 2 * PART + 5])
        eventually(lambda: maya.offset(upload) == 2 * PART)
        response = maya.patch(upload, 2 * PART, CONTENT[2 * PART : 3 * PART])
        assert (response.status, response.headers["upload-offset"]) == (204, str(3 * PART))
        late = rest_of(hung)
    assert late in {409, 0}
    response = maya.patch(upload, 3 * PART, CONTENT[3 * PART :])
    assert maya.content(response.headers["x-file-id"]) == CONTENT


def rest_of(hung: socket.socket) -> int:
    """
    Bring the late bytes of a request, and return its status; 0 if the service had closed the connection.
    """
    try:
        hung.sendall(b"\0" * (len(CONTENT) - 2 * PART - 5))
        return receive(hung).status
    except OSError:
        return 0


def test_what_came_before_a_stop_is_kept_to_the_last_byte(tmp_path: Path) -> None:
    """A service that is told to stop under a request stores what it has of a part, and goes on after a restart."""
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
