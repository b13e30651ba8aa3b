"""
Clients that are slow, stand still, or never begin: they are given up, and hold up nobody.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.clients.wire import call, connected, download, form, multipart, receive, receive_head, send, upload
from support.servers.processes import process_tree
from support.servers.service import Service, serving
from support.waiting import eventually

MIB = 1 << 20
CHUNK = 16_384
CONTENT = os.urandom(3 * CHUNK + 100)
FORM_BEFORE = len(multipart("cut.bin")[1][0])


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    limits = {"HEADER_TIMEOUT_SECONDS": "1", "STALL_SECONDS": "1", "MIN_BYTES_PER_SECOND": "1000"}
    limits |= {"ARGON2_MEMORY_KIB": "8192", "KEEPALIVE_SECONDS": "30"}
    with serving(tmp_path_factory.mktemp("impatient"), settings=limits) as running:
        yield running


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_come_is_given_up(impatient: Service, sent: bytes) -> None:
    """A connection that never finishes its first request's head is told so and closed."""
    with connected(impatient.port) as connection:
        connection.sendall(sent)
        response = receive(connection)
    assert (response.status, response.json()["code"]) == (408, "request-timeout")


def test_a_body_that_stops_coming_is_given_up(impatient: Service) -> None:
    """Before or after its first byte: a problem, a line in the log, and nothing is stored."""
    token = impatient.sign_up("patience")
    headers, body = form(token, CONTENT)
    with ExitStack() as held:
        waiting = []
        for sent in (0, 1, FORM_BEFORE, FORM_BEFORE + CHUNK):
            connection = held.enter_context(connected(impatient.port))
            send(connection, "POST", f"{impatient.api}/files/upload", headers, len(body))
            connection.sendall(body[:sent])
            waiting.append(connection)
        login = held.enter_context(connected(impatient.port))
        send(login, "POST", f"{impatient.api}/auth/login", {"Content-Type": "application/json"}, 100)
        for connection in (*waiting, login):
            response = receive(connection)
            assert (response.status, response.json()["code"]) == (408, "request-timeout")
            assert response.headers["x-request-id"] in impatient.log.read_text()
    eventually(impatient.is_tidy)


def test_stalled_downloads_do_not_slow_others_down(service: Service) -> None:
    """Sixty-four clients that read nothing hold no thread: others are served, and they can go on."""
    token = service.sign_up("staller")
    path = large(service, token)
    with ExitStack() as held:
        stalled = [held.enter_context(connected(service.port)) for _ in range(64)]
        for connection in stalled:
            send(connection, "GET", path, {"Authorization": f"Bearer {token}"}, 0)
            assert receive_head(connection)[0] == 200
        for _ in range(20):
            assert call(service.port, "GET", "/health").status == 200
        assert download(service.port, path, token=token) == 24 * MIB
        _, _, _ = (connection.recv(4096) for connection in stalled[:3])
    assert service.call("GET", "/auth/me", token=token).status == 200


def resident(service: Service) -> int:
    """
    How much memory the service's processes have, in bytes (proc(5), VmRSS).
    """
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in process_tree(service.process.pid)]
    return sum(int(status.partition("VmRSS:")[2].split()[0]) << 10 for status in statuses)


def test_many_who_begin_at_once_and_read_nothing_cost_little_memory(tmp_path: Path) -> None:
    """A hundred with a link, each of whom could have 2 MiB read: what there is for them, which is given back."""
    settings = {"ARGON2_MEMORY_KIB": "8192", "READ_AHEAD_MIB": "16"}
    with serving(tmp_path, settings=settings) as service, ExitStack() as held:
        token = service.sign_up("crowd")
        file = large(service, token).split("/")[-2]
        link = service.call("POST", f"/files/{file}/share", token=token, body={}).json()["share_url"]
        before = resident(service)
        crowd = [held.enter_context(connected(service.port)) for _ in range(100)]
        for connection in crowd:
            send(connection, "GET", link, {}, 0)
        for connection in crowd:
            assert receive_head(connection)[0] == 200
        assert resident(service) - before < 100 * MIB
        held.close()
        eventually(lambda: resident(service) - before < 40 * MIB)


def unacknowledged(service: Service, connection: socket.socket) -> int:
    """
    How many bytes the service's side of a connection keeps for its client, sent or not (proc(5), /proc/net/tcp).
    """
    ends = f":{service.port:04X}", f":{connection.getsockname()[1]:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, _, queues = line.split()[1:5]
        if (local[-5:], remote[-5:]) == ends:
            return int(queues.partition(":")[0], 16)
    raise AssertionError("there is no such connection")


def test_little_waits_in_the_kernel_for_a_client_that_reads_nothing(service: Service) -> None:
    """What the network takes, and a mebibyte: left to itself the kernel would take in megabytes for each."""
    token = service.sign_up("kernel")
    path = large(service, token)
    with connected(service.port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        send(connection, "GET", path, {"Authorization": f"Bearer {token}"}, 0)
        assert receive_head(connection)[0] == 200
        kept = [0, 1]
        while kept[-2] != kept[-1]:
            time.sleep(0.2)
            kept.append(unacknowledged(service, connection))
    assert 0 < kept[-1] < 3 * MIB // 2


def trickle(connection: socket.socket, data: bytes, *, piece: int, pause: float) -> None:
    """
    Send data in small pieces until it is all sent or the other side answers.
    """
    for start in range(0, len(data), piece):
        connection.sendall(data[start : start + piece])
        if select.select([connection], [], [], pause)[0]:
            return


def test_a_body_that_drips_is_given_up(impatient: Service) -> None:
    """A byte now and then, each in time, is too slow all the same: nothing is stored, the answer is 408."""
    token = impatient.sign_up("dripping")
    headers, body = form(token, CONTENT)
    with connected(impatient.port) as connection:
        send(connection, "POST", f"{impatient.api}/files/upload", headers, len(body))
        trickle(connection, body, piece=1, pause=0.1)
        response = receive(connection)
    assert (response.status, response.json()["code"]) == (408, "request-timeout")
    eventually(impatient.is_tidy)


def test_a_slow_client_that_keeps_the_pace_is_served(impatient: Service) -> None:
    """Sending and reading may take far longer than standing still may, if bytes move."""
    token = impatient.sign_up("steady")
    headers, body = form(token, CONTENT[:20_000])
    with connected(impatient.port) as connection:
        send(connection, "POST", f"{impatient.api}/files/upload", headers, len(body))
        trickle(connection, body, piece=1000, pause=0.1)
        stored = receive(connection)
    assert stored.status == 201
    with connected(impatient.port) as connection:
        send(connection, "GET", large(impatient, token), {"Authorization": f"Bearer {token}"}, 0)
        status, answered, rest = receive_head(connection)
        received, slow_until = len(rest), time.monotonic() + 3
        while piece := connection.recv(65536 if time.monotonic() < slow_until else MIB):
            received += len(piece)
            time.sleep(0.05 if time.monotonic() < slow_until else 0)
    assert (status, received) == (200, int(answered["content-length"]))


def large(service: Service, token: str) -> str:
    """
    The path of a file that no buffer between us and the service holds whole.
    """
    headers, around = multipart("large.bin")
    headers["Authorization"] = f"Bearer {token}"
    stored = upload(service.port, "POST", f"{service.api}/files/upload", size=24 * MIB, headers=headers, around=around)
    return f"{service.api}/files/{stored.json()['id']}/download"


@pytest.mark.parametrize("reads", [0, 1], ids=["nothing", "a byte now and then"])
def test_a_reader_that_stands_still_is_given_up(impatient: Service, reads: int) -> None:
    """Its connection ends before the whole is sent, the log says that it was incomplete."""
    token = impatient.sign_up(f"reader{reads}")
    asked = {"Authorization": f"Bearer {token}", "X-Request-ID": f"reading-{reads}-bytes"}
    path = large(impatient, token)
    with connected(impatient.port) as connection:
        send(connection, "GET", path, asked, 0)
        assert receive_head(connection)[0] == 200

        def ended() -> bool:
            connection.recv(reads)
            return any(asked["X-Request-ID"] in line for line in impatient.log.read_text().splitlines())

        eventually(ended)
    (line,) = [line for line in impatient.log.read_text().splitlines() if asked["X-Request-ID"] in line]
    fields = json.loads(line)
    assert (fields["complete"], fields["status"]) == (False, 200)
    assert fields["bytes"] < 24 * MIB


def test_an_answer_that_nobody_fetches_holds_no_connection(impatient: Service) -> None:
    """Also what lies ready whole, and is waited for by nobody in the service, is given up."""
    before = descriptors(impatient)
    with ExitStack() as held:
        for _ in range(5):
            connection = held.enter_context(connected(impatient.port))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            script = "GET /static/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n"
            connection.sendall(script.encode() * 8)
        eventually(lambda: descriptors(impatient) >= before + 5)
        eventually(lambda: descriptors(impatient) <= before)


def descriptors(service: Service) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in process_tree(service.process.pid))
