"""
Clients that disconnect early: the service closes every descriptor it opened for them.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.clients.wire import connected, form, multipart, receive_head, send, upload
from support.servers.processes import process_tree
from support.servers.service import Service, serving
from support.waiting import eventually

MIB = 1 << 20
TIMES = 500


def descriptors(service: Service) -> int:
    """
    Count the open descriptors, except those of the database, whose pool opens connections on demand.
    """
    count = 0
    for pid in process_tree(service.process.pid):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                count += "sft.db" not in entry.readlink().name
    return count


@pytest.mark.parametrize("is_reset", [0, 1], ids=["closes", "is_reset"])
def test_interrupted_transfers_leave_no_descriptor(service: Service, is_reset: int) -> None:
    """After five hundred interrupted downloads and as many uploads no more descriptors are open than before."""
    token = service.sign_up(f"leaver{is_reset}")
    headers, around = multipart("left.bin")
    headers["Authorization"] = f"Bearer {token}"
    stored = upload(service.port, "POST", f"{service.api}/files/upload", size=8 * MIB, headers=headers, around=around)
    path = f"{service.api}/files/{stored.json()['id']}/download"
    headers, body = form(token, os.urandom(100_000))

    def interrupt_transfers() -> None:
        with connected(service.port) as connection:
            send(connection, "GET", path, {"Authorization": f"Bearer {token}"}, 0)
            assert receive_head(connection)[0] == 200
            disconnect(connection)
        with connected(service.port) as connection:
            send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
            connection.sendall(body[:70_000])
            disconnect(connection)

    def disconnect(connection: socket.socket) -> None:
        if is_reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    for _ in range(20):
        interrupt_transfers()
    eventually(service.is_tidy)
    before = descriptors(service)
    for _ in range(TIMES):
        interrupt_transfers()
    eventually(lambda: descriptors(service) <= before)
    eventually(service.is_tidy)


@pytest.fixture(scope="module")
def lingering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """
    A service whose linger timeout is longer than the test.
    """
    settings = {"ARGON2_MEMORY_KIB": "8192", "LINGER_SECONDS": "60"}
    with serving(tmp_path_factory.mktemp("lingering"), settings=settings) as running:
        yield running


def request_and_disconnect(service: Service, _token: str) -> None:
    """Disconnect after a complete request, before its response is sent."""
    with connected(service.port) as connection:
        send(connection, "GET", f"{service.api}/openapi.json", {}, 0)


def send_half_and_disconnect(service: Service, token: str) -> None:
    """Disconnect in the middle of a body, so that the response is an error."""
    headers, body = form(token, bytes(1000))
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body[:500])


@pytest.mark.parametrize("disconnect", [request_and_disconnect, send_half_and_disconnect])
def test_connection_closed_before_its_response_is_not_kept_lingering(
    lingering: Service, disconnect: Callable[[Service, str], None]
) -> None:
    """The event loop has already read the end of the stream, so the connection is closed with the response."""
    token = lingering.sign_up(disconnect.__name__)
    for _ in range(3):
        disconnect(lingering, token)
    before = descriptors(lingering)
    for _ in range(30):
        disconnect(lingering, token)
    eventually(lambda: descriptors(lingering) <= before)
