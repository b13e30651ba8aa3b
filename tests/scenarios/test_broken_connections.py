"""
Lost connections: no incomplete file is stored, and no wrong response is sent or logged.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress

import pytest

from support.clients.wire import Response, connected, form, multipart, next_body, receive, receive_head, send
from support.servers.service import Service
from support.waiting import eventually

MIB = 1 << 20
CHUNK = 16_384


@pytest.fixture(scope="module")
def token(service: Service) -> str:
    return service.sign_up("broken-off")


def listed(service: Service, token: str) -> list[str]:
    return [file["id"] for file in service.call("GET", "/files/?limit=1000", token=token).json()]


CONTENT = os.urandom(3 * CHUNK + 100)
FORM_BEFORE = len(multipart("cut.bin")[1][0])
FORM_AFTER = len(multipart("cut.bin")[1][1])

CUT = {"malformed-request", "upload-incomplete"}
"""Error codes for a body that ended too early."""


@pytest.mark.parametrize(
    "sent",
    [
        0,
        1,
        FORM_BEFORE - 2,
        FORM_BEFORE,
        FORM_BEFORE + 1,
        FORM_BEFORE + CHUNK - 1,
        FORM_BEFORE + CHUNK,
        FORM_BEFORE + CHUNK + 1,
        FORM_BEFORE + len(CONTENT) - 1,
        FORM_BEFORE + len(CONTENT),
        FORM_BEFORE + len(CONTENT) + 2,
        FORM_BEFORE + len(CONTENT) + FORM_AFTER - 5,
        FORM_BEFORE + len(CONTENT) + FORM_AFTER - 3,
    ],
)
@pytest.mark.parametrize("way", ["close", "reset", "half-close"])
def test_upload_truncated_at_any_byte_stores_nothing(service: Service, token: str, sent: int, way: str) -> None:
    """No file is listed and no part is left, however the connection ends."""
    files = listed(service, token)
    headers, body = form(token, CONTENT)
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body[:sent])
        time.sleep(0.02)
        if way == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        elif way == "half-close":
            # A client that only stops sending still receives the error.
            connection.shutdown(socket.SHUT_WR)
            response = receive(connection)
            assert (response.status, response.json()["code"] in CUT) == (400, True)
    eventually(service.is_tidy)
    assert listed(service, token) == files


def test_half_closed_connection_receives_all_responses(service: Service, token: str) -> None:
    """The client closes its sending side after an upload, after pipelined requests and after a download request."""
    headers, body = form(token, os.urandom(5 * MIB), "half.bin")
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body)
        connection.shutdown(socket.SHUT_WR)
        stored = receive(connection)
    assert stored.status == 201
    path = f"{service.api}/files/{stored.json()['id']}/download"
    with connected(service.port) as connection:
        bearer = f"Authorization: Bearer {token}\r\n"
        whole = f"GET {path} HTTP/1.1\r\nHost: a\r\n{bearer}\r\n"
        connection.sendall((2 * "GET /health HTTP/1.1\r\nHost: a\r\n\r\n" + whole).encode())
        connection.shutdown(socket.SHUT_WR)
        responses = connection.makefile("rb")
        for _ in range(2):
            assert json.loads(next_body(responses, 200)) == {"status": "healthy"}
        assert len(next_body(responses, 200)) == 5 * MIB
        assert responses.read() == b""


def test_truncated_upload_is_logged_once_as_incomplete(service: Service, token: str) -> None:
    """Each upload has one log line with `complete` false, and no line has status 500."""
    for number in range(5):
        headers, body = form(token, CONTENT)
        with connected(service.port) as connection:
            headers["X-Request-ID"] = f"cut-by-its-client-{number}"
            send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
            connection.sendall(body[:CHUNK])
            time.sleep(0.02 * number)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    eventually(lambda: service.log.read_text().count("cut-by-its-client") == 5)
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    assert not any(line.get("status") == 500 for line in lines)
    cut = [line for line in lines if line.get("request_id", "").startswith("cut-by-its-client")]
    assert [line["complete"] for line in cut] == [False] * 5


def test_malformed_request_body_during_a_download_closes_the_connection(service: Service, token: str) -> None:
    """The response is truncated, and no second response is written into its body."""
    content = os.urandom(24 * MIB)
    headers, body = form(token, content, "between.bin")
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body)
        path = f"{service.api}/files/{receive(connection).json()['id']}/download"
    head = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connected(service.port) as connection:
        connection.sendall(head.encode() + b"5\r\nhello\r\n")
        status, _, received = receive_head(connection)
        connection.sendall(b"ZZZ\r\n")
        with suppress(ConnectionError):
            while piece := connection.recv(MIB):
                received += piece
    assert status == 200
    assert content.startswith(received)
    assert len(received) < len(content)


def test_download_closed_by_its_client_logs_no_error(service: Service, token: str) -> None:
    """The logged number of sent bytes is at least the number that the client received."""
    headers, body = form(token, os.urandom(24 * MIB), "early.bin")
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body)
        path = f"{service.api}/files/{receive(connection).json()['id']}/download"
    received_bytes = {}
    for number in range(30):
        name = f"left-early-{number:02}"
        with connected(service.port) as connection:
            send(connection, "GET", path, {"Authorization": f"Bearer {token}", "X-Request-ID": name}, 0)
            time.sleep(0.002 * number)
            if number % 3 == 0:
                received_bytes[name] = len(receive_head(connection)[2])
                while received_bytes[name] < 6 * MIB:
                    received_bytes[name] += len(connection.recv(MIB))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    eventually(lambda: service.log.read_text().count("left-early-") == 30)
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    assert not [line for line in lines if line["level"] == "error" and "Error in ASGI" in line["message"]]
    sent = {line["request_id"]: line["bytes"] for line in lines if line.get("request_id", "") in received_bytes}
    assert all(sent[name] >= count for name, count in received_bytes.items())


def test_large_upload_truncated_after_stored_parts_leaves_no_part(service: Service, token: str) -> None:
    """The parts already stored are deleted."""
    files = listed(service, token)
    before = len(service.stored())
    headers, body = form(token, os.urandom(13 * MIB))
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body[: 12 * MIB])
        eventually(lambda: not service.is_tidy() and len(service.stored()) > before)
    eventually(service.is_tidy)
    assert listed(service, token) == files


def chunked(body: bytes, size: int = 50_000) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def send_chunked(service: Service, headers: dict[str, str], body: bytes) -> Response:
    lines = [f"POST {service.api}/files/upload HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with connected(service.port) as connection:
        connection.sendall("\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode())
        connection.sendall(body)
        if not body.endswith(b"0\r\n\r\n"):
            connection.shutdown(socket.SHUT_WR)
        return receive(connection)


def test_chunked_upload_is_stored_completely_or_refused(service: Service, token: str) -> None:
    """The upload is stored once its form has ended; a truncated one leaves nothing."""
    headers, body = form(token, CONTENT, "chunked.bin")
    whole = send_chunked(service, headers, chunked(body) + b"0\r\n\r\n")
    assert whole.status == 201
    assert whole.json()["file_size"] == len(CONTENT)
    files = listed(service, token)
    encoded = chunked(body)
    for cut in (len(encoded) // 2, len(encoded) - 20):
        assert send_chunked(service, headers, encoded[:cut]).json()["code"] in CUT
    eventually(service.is_tidy)
    assert listed(service, token) == files
