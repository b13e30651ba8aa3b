"""
Clients that leave in the middle: every descriptor they took is given back.
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
    How many are open, without those of the database: its pool opens one more when it needs it.
    """
    count = 0
    for pid in process_tree(service.process.pid):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                count += "sft.db" not in entry.readlink().name
    return count


@pytest.mark.parametrize("resets", [0, 1], ids=["closes", "resets"])
def test_clients_that_leave_leave_no_descriptor(service: Service, resets: int) -> None:
    """Five hundred downloads and as many uploads are cut in the middle; as many are open as before."""
    token = service.sign_up(f"leaver{resets}")
    headers, around = multipart("left.bin")
    headers["Authorization"] = f"Bearer {token}"
    stored = upload(service.port, "POST", f"{service.api}/files/upload", size=8 * MIB, headers=headers, around=around)
    path = f"{service.api}/files/{stored.json()['id']}/download"
    headers, body = form(token, os.urandom(100_000))

    def cut() -> None:
        with connected(service.port) as connection:
            send(connection, "GET", path, {"Authorization": f"Bearer {token}"}, 0)
            assert receive_head(connection)[0] == 200
            leave(connection)
        with connected(service.port) as connection:
            send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
            connection.sendall(body[:70_000])
            leave(connection)

    def leave(connection: socket.socket) -> None:
        if resets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    for _ in range(20):
        cut()
    eventually(service.is_tidy)
    before = descriptors(service)
    for _ in range(TIMES):
        cut()
    eventually(lambda: descriptors(service) <= before)
    eventually(service.is_tidy)


@pytest.fixture(scope="module")
def lingering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """
    A service that gives clients which still send longer than a test waits.
    """
    settings = {"ARGON2_MEMORY_KIB": "8192", "LINGER_SECONDS": "60"}
    with serving(tmp_path_factory.mktemp("lingering"), settings=settings) as running:
        yield running


def ask_and_leave(service: Service, _token: str) -> None:
    """Everything has been asked for, and nobody is there when it is answered."""
    with connected(service.port) as connection:
        send(connection, "GET", f"{service.api}/openapi.json", {}, 0)


def send_half_and_leave(service: Service, token: str) -> None:
    """The answer says that the body broke off."""
    headers, body = form(token, bytes(1000))
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body[:500])


@pytest.mark.parametrize("leave", [ask_and_leave, send_half_and_leave])
def test_who_is_gone_before_the_answer_is_not_waited_for(
    lingering: Service, leave: Callable[[Service, str], None]
) -> None:
    """The loop has read such a connection to its end and hears of it no more: it is closed with the answer."""
    token = lingering.sign_up(leave.__name__)
    for _ in range(3):
        leave(lingering, token)
    before = descriptors(lingering)
    for _ in range(30):
        leave(lingering, token)
    eventually(lambda: descriptors(lingering) <= before)
