"""
Slow and stalled clients: their connections are closed after a timeout, and other clients are not delayed.
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
def test_incomplete_request_head_times_out(impatient: Service, sent: bytes) -> None:
    """The client receives 408 and the connection is closed."""
    with connected(impatient.port) as connection:
        connection.sendall(sent)
        response = receive(connection)
    assert (response.status, response.json()["code"]) == (408, "request-timeout")


def test_stalled_request_body_times_out(impatient: Service) -> None:
    """Before or after its first byte the client receives 408, the request is logged, and nothing is stored."""
    token = impatient.sign_up("patience")
    headers, body = form(token, CONTENT)
    with ExitStack() as stack:
        waiting = []
        for sent in (0, 1, FORM_BEFORE, FORM_BEFORE + CHUNK):
            connection = stack.enter_context(connected(impatient.port))
            send(connection, "POST", f"{impatient.api}/files/upload", headers, len(body))
            connection.sendall(body[:sent])
            waiting.append(connection)
        login = stack.enter_context(connected(impatient.port))
        send(login, "POST", f"{impatient.api}/auth/login", {"Content-Type": "application/json"}, 100)
        for connection in (*waiting, login):
            response = receive(connection)
            assert (response.status, response.json()["code"]) == (408, "request-timeout")
            assert response.headers["x-request-id"] in impatient.log.read_text()
    eventually(impatient.is_tidy)


def test_stalled_downloads_do_not_delay_other_clients(service: Service) -> None:
    """Sixty-four clients that read nothing occupy no thread, and their downloads can continue."""
    token = service.sign_up("staller")
    path = large_download(service, token)
    with ExitStack() as stack:
        stalled = [stack.enter_context(connected(service.port)) for _ in range(64)]
        for connection in stalled:
            send(connection, "GET", path, {"Authorization": f"Bearer {token}"}, 0)
            assert receive_head(connection)[0] == 200
        for _ in range(20):
            assert call(service.port, "GET", "/health").status == 200
        assert download(service.port, path, token=token) == 24 * MIB
        _, _, _ = (connection.recv(4096) for connection in stalled[:3])
    assert service.call("GET", "/auth/me", token=token).status == 200


def resident_bytes(service: Service) -> int:
    """
    Return the resident memory of the service's processes, in bytes (proc(5), VmRSS).
    """
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in process_tree(service.process.pid)]
    return sum(int(status.partition("VmRSS:")[2].split()[0]) << 10 for status in statuses)


def test_stalled_downloads_have_a_bounded_read_ahead(tmp_path: Path) -> None:
    """One hundred clients of a link share the read-ahead memory, which is released when they disconnect."""
    settings = {"ARGON2_MEMORY_KIB": "8192", "READ_AHEAD_MIB": "16"}
    with serving(tmp_path, settings=settings) as service, ExitStack() as stack:
        token = service.sign_up("crowd")
        file = large_download(service, token).split("/")[-2]
        link = service.call("POST", f"/files/{file}/share", token=token, body={}).json()["share_url"]
        before = resident_bytes(service)
        connections = [stack.enter_context(connected(service.port)) for _ in range(100)]
        for connection in connections:
            send(connection, "GET", link, {}, 0)
        for connection in connections:
            assert receive_head(connection)[0] == 200
        assert resident_bytes(service) - before < 100 * MIB
        stack.close()
        eventually(lambda: resident_bytes(service) - before < 40 * MIB)


def unacknowledged(service: Service, connection: socket.socket) -> int:
    """
    Return the length of the service's send queue for a connection, in bytes (proc(5), /proc/net/tcp).
    """
    ends = f":{service.port:04X}", f":{connection.getsockname()[1]:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, _, queues = line.split()[1:5]
        if (local[-5:], remote[-5:]) == ends:
            return int(queues.partition(":")[0], 16)
    raise AssertionError("there is no such connection")


def test_stalled_download_has_a_bounded_send_buffer(service: Service) -> None:
    """It stays under 1.5 MiB; by default the kernel would buffer megabytes for each client."""
    token = service.sign_up("kernel")
    path = large_download(service, token)
    with connected(service.port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        send(connection, "GET", path, {"Authorization": f"Bearer {token}"}, 0)
        assert receive_head(connection)[0] == 200
        queued = [0, 1]
        while queued[-2] != queued[-1]:
            time.sleep(0.2)
            queued.append(unacknowledged(service, connection))
    assert 0 < queued[-1] < 3 * MIB // 2


def trickle(connection: socket.socket, data: bytes, *, piece: int, pause: float) -> None:
    """
    Send data in small pieces until it is all sent or the service responds.
    """
    for start in range(0, len(data), piece):
        connection.sendall(data[start : start + piece])
        if select.select([connection], [], [], pause)[0]:
            return


def test_request_body_below_the_minimum_rate_times_out(impatient: Service) -> None:
    """Each byte arrives before the stall timeout, but the rate is too low: the status is 408 and nothing is stored."""
    token = impatient.sign_up("dripping")
    headers, body = form(token, CONTENT)
    with connected(impatient.port) as connection:
        send(connection, "POST", f"{impatient.api}/files/upload", headers, len(body))
        trickle(connection, body, piece=1, pause=0.1)
        response = receive(connection)
    assert (response.status, response.json()["code"]) == (408, "request-timeout")
    eventually(impatient.is_tidy)


def test_slow_client_above_the_minimum_rate_is_served(impatient: Service) -> None:
    """An upload and a download may take far longer than the stall timeout."""
    token = impatient.sign_up("steady")
    headers, body = form(token, CONTENT[:20_000])
    with connected(impatient.port) as connection:
        send(connection, "POST", f"{impatient.api}/files/upload", headers, len(body))
        trickle(connection, body, piece=1000, pause=0.1)
        stored = receive(connection)
    assert stored.status == 201
    with connected(impatient.port) as connection:
        send(connection, "GET", large_download(impatient, token), {"Authorization": f"Bearer {token}"}, 0)
        status, answered, rest = receive_head(connection)
        received, slow_until = len(rest), time.monotonic() + 3
        while piece := connection.recv(65536 if time.monotonic() < slow_until else MIB):
            received += len(piece)
            time.sleep(0.05 if time.monotonic() < slow_until else 0)
    assert (status, received) == (200, int(answered["content-length"]))


def large_download(service: Service, token: str) -> str:
    """
    Upload a file larger than all socket buffers together and return the path of its download.
    """
    headers, around = multipart("large.bin")
    headers["Authorization"] = f"Bearer {token}"
    stored = upload(service.port, "POST", f"{service.api}/files/upload", size=24 * MIB, headers=headers, around=around)
    return f"{service.api}/files/{stored.json()['id']}/download"


@pytest.mark.parametrize("read_size", [0, 1], ids=["nothing", "single bytes"])
def test_stalled_download_is_closed_and_logged_as_incomplete(impatient: Service, read_size: int) -> None:
    """The connection is closed before the whole file is sent."""
    token = impatient.sign_up(f"reader{read_size}")
    asked = {"Authorization": f"Bearer {token}", "X-Request-ID": f"reading-{read_size}-bytes"}
    path = large_download(impatient, token)
    with connected(impatient.port) as connection:
        send(connection, "GET", path, asked, 0)
        assert receive_head(connection)[0] == 200

        def ended() -> bool:
            connection.recv(read_size)
            return any(asked["X-Request-ID"] in line for line in impatient.log.read_text().splitlines())

        eventually(ended)
    (line,) = [line for line in impatient.log.read_text().splitlines() if asked["X-Request-ID"] in line]
    fields = json.loads(line)
    assert (fields["complete"], fields["status"]) == (False, 200)
    assert fields["bytes"] < 24 * MIB


def test_unread_response_is_closed_after_the_stall_timeout(impatient: Service) -> None:
    """This includes a complete response in the send buffer that no task of the service waits for."""
    before = descriptors(impatient)
    with ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(connected(impatient.port))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            script = "GET /static/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n"
            connection.sendall(script.encode() * 8)
        eventually(lambda: descriptors(impatient) >= before + 5)
        eventually(lambda: descriptors(impatient) <= before)


def descriptors(service: Service) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in process_tree(service.process.pid))
