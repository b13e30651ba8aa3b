"""
What only shows on the wire: cut bodies, the server's own answers, clients that stall, signals.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.processes import process_tree
from support.service import Service, serving
from support.wire import Answer, call, connected, download, multipart, receive, receive_head, send, upload

MIB = 1 << 20
CHUNK = 16_384


@pytest.fixture(scope="module")
def token(service: Service) -> str:
    return service.sign_up("wire")


def listed(service: Service, token: str) -> list[str]:
    return [file["id"] for file in service.call("GET", "/files/?limit=1000", token=token).json()]


def eventually(holds: object, *, seconds: float = 10) -> None:
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)


def form(token: str, content: bytes, name: str = "cut.bin") -> tuple[dict[str, str], bytes]:
    headers, (before, after) = multipart(name)
    return headers | {"Authorization": f"Bearer {token}"}, before + content + after


CONTENT = os.urandom(3 * CHUNK + 100)
FORM_BEFORE = len(multipart("cut.bin")[1][0])
FORM_AFTER = len(multipart("cut.bin")[1][1])


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
def test_a_body_cut_anywhere_stores_nothing(service: Service, token: str, sent: int, way: str) -> None:
    """Whatever byte the connection breaks at, no file appears and no part stays behind."""
    files = listed(service, token)
    headers, body = form(token, CONTENT)
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body[:sent])
        time.sleep(0.02)
        if way == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        elif way == "half-close":
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(10)
            while connection.recv(65536):
                pass
    eventually(service.is_tidy)
    assert listed(service, token) == files


def test_a_large_body_cut_after_stored_parts_leaves_none_of_them(service: Service, token: str) -> None:
    """Parts that were durable already are removed when the rest never comes."""
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


def send_chunked(service: Service, headers: dict[str, str], body: bytes) -> Answer:
    lines = [f"POST {service.api}/files/upload HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with connected(service.port) as connection:
        connection.sendall("\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode())
        connection.sendall(body)
        if not body.endswith(b"0\r\n\r\n"):
            connection.shutdown(socket.SHUT_WR)
        return receive(connection)


def test_a_chunked_body_is_stored_whole_or_refused(service: Service, token: str) -> None:
    """A chunked upload counts once its form has ended; one that is cut leaves nothing."""
    headers, body = form(token, CONTENT, "chunked.bin")
    whole = send_chunked(service, headers, chunked(body) + b"0\r\n\r\n")
    assert whole.status == 201
    assert whole.json()["file_size"] == len(CONTENT)
    files = listed(service, token)
    encoded = chunked(body)
    for cut in (len(encoded) // 2, len(encoded) - 20):
        with pytest.raises(ConnectionError):
            assert send_chunked(service, headers, encoded[:cut]).status == 201
    eventually(service.is_tidy)
    assert listed(service, token) == files


@pytest.mark.parametrize(
    ("request_head", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "malformed-request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "malformed-request"),
        (b"NONSENSE\r\n\r\n", 400, "malformed-request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", 400, "malformed-request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, "malformed-request"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "malformed-request",
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400, "malformed-request"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
            "transfer-coding-not-supported",
        ),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri-too-long"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431, "headers-too-large"),
    ],
)
def test_requests_that_never_reach_the_application_get_a_problem(
    service: Service, request_head: bytes, status: int, code: str
) -> None:
    """The server's own refusals are problem details with the same headers as all others, and are logged."""
    usual = set(call(service.port, "GET", "/nowhere").headers)
    with connected(service.port) as connection:
        connection.sendall(request_head)
        answer = receive(connection)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert answer.json()["instance"] == f"urn:uuid:{answer.headers['x-request-id']}"
    assert set(answer.headers) >= usual - {"date"}
    assert answer.headers["x-request-id"] in service.log.read_text()
    assert "gunicorn" not in repr(answer).lower()


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    limits = {"HEADER_TIMEOUT_SECONDS": "1", "WORKER_TIMEOUT_SECONDS": "5", "ARGON2_MEMORY_KIB": "8192"}
    with serving(tmp_path_factory.mktemp("impatient"), settings=limits) as running:
        yield running


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_come_is_given_up(impatient: Service, sent: bytes) -> None:
    """A connection that never finishes its first request's head is told so and closed."""
    with connected(impatient.port) as connection:
        connection.sendall(sent)
        answer = receive(connection)
    assert (answer.status, answer.json()["code"]) == (408, "request-timeout")


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
            answer = receive(connection)
            assert (answer.status, answer.json()["code"]) == (408, "request-timeout")
            assert answer.headers["x-request-id"] in impatient.log.read_text()
    eventually(impatient.is_tidy)


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/files/upload", {}, 401),
        ("/nowhere", {}, 404),
        ("/auth/me", {}, 405),
        ("/files/upload", {"Authorization": "Bearer {token}", "Content-Length": "9" * 20}, 413),
        ("/files/upload", {"Authorization": "Bearer {token}", "Content-Type": "text/plain"}, 415),
    ],
)
def test_what_the_head_decides_is_answered_without_the_body(
    service: Service, token: str, path: str, more: dict[str, str], status: int
) -> None:
    """A client that waits for "100 Continue" gets the refusal instead, and the connection ends."""
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "1000000", **more}
    lines = [f"POST {service.api}{path} HTTP/1.1", "Host: 127.0.0.1", "Expect: 100-continue"]
    lines += [f"{name}: {value.format(token=token)}" for name, value in headers.items()]
    with connected(service.port) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = receive(connection)
    assert answer.status == status
    assert answer.headers["connection"] == "close"


def test_who_may_send_is_told_to_continue(service: Service, token: str) -> None:
    """An upload that is not refused by its head gets its "100 Continue", and is then stored."""
    headers, body = form(token, CONTENT, "expected.bin")
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers | {"Expect": "100-continue"}, len(body))
        assert receive_head(connection)[0] == 100
        connection.sendall(body)
        assert receive(connection).status == 201


@pytest.mark.parametrize("sign_in", [True, False])
def test_a_refusal_reaches_a_client_that_sends_on(service: Service, token: str, *, sign_in: bool) -> None:
    """A client that sends its whole body before it reads gets the answer, not a reset."""
    headers, around = multipart("../refused.bin")
    if sign_in:
        headers["Authorization"] = f"Bearer {token}"
    answer = upload(service.port, "POST", f"{service.api}/files/upload", size=32 * MIB, headers=headers, around=around)
    assert answer.status == (422 if sign_in else 401)
    eventually(service.is_tidy)


def test_no_answer_names_the_server_software(service: Service) -> None:
    """Neither a page nor an error tells what serves it."""
    for path in ("/health", "/nowhere", "/api/v1/auth/me"):
        assert "gunicorn" not in repr(call(service.port, "GET", path)).lower()


def test_stalled_downloads_do_not_slow_others_down(service: Service, token: str) -> None:
    """Sixty-four clients that read nothing hold no thread: others are served, and they can go on."""
    headers, around = multipart("stalled.bin")
    headers["Authorization"] = f"Bearer {token}"
    size = 24 * MIB
    stored = upload(service.port, "POST", f"{service.api}/files/upload", size=size, headers=headers, around=around)
    path = f"{service.api}/files/{stored.json()['id']}/download"
    with ExitStack() as held:
        stalled = [held.enter_context(connected(service.port)) for _ in range(64)]
        for connection in stalled:
            send(connection, "GET", path, {"Authorization": f"Bearer {token}"}, 0)
            assert receive_head(connection)[0] == 200
        begun = time.monotonic()
        for _ in range(20):
            assert call(service.port, "GET", "/health").status == 200
        assert time.monotonic() - begun < 5, "others wait for those who stall"
        assert download(service.port, path, token=token) == size
        _, _, _ = (connection.recv(4096) for connection in stalled[:3])
    assert service.call("GET", "/auth/me", token=token).status == 200


def test_a_client_that_leaves_a_download_frees_what_it_held(service: Service, token: str) -> None:
    """Downloads that break off leave no open file and no connection behind."""
    headers, body = form(token, os.urandom(6 * MIB), "leaver.bin")
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body)
        path = f"{service.api}/files/{receive(connection).json()['id']}/download"

    def descriptors() -> int:
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in process_tree(service.process.pid))

    before = descriptors()
    for _ in range(100):
        with connected(service.port) as connection:
            send(connection, "GET", path, {"Authorization": f"Bearer {token}"}, 0)
            receive_head(connection)
    eventually(lambda: descriptors() <= before + 2)


def test_sigterm_ends_cleanly_and_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """The service stops on SIGTERM with status 0; keys, accounts and files survive it."""
    with serving(tmp_path) as first:
        token = first.sign_up("phoenix")
        headers, body = form(token, b"still here", "phoenix.txt")
        with connected(first.port) as connection:
            send(connection, "POST", f"{first.api}/files/upload", headers, len(body))
            connection.sendall(body)
            file = receive(connection).json()
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(15) == 0
    with serving(tmp_path) as second:
        path = f"{second.api}/files/{file['id']}/download"
        with connected(second.port) as connection:
            send(connection, "GET", path, {"Authorization": f"Bearer {token}"}, 0)
            assert receive(connection).body == b"still here"
        for line in second.log.read_text().splitlines():
            assert "Traceback" not in line
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data" / "keys").iterdir()}
    assert set(modes.values()) == {0o600}


def test_plaintext_and_secrets_are_nowhere_on_the_disk(service: Service, token: str) -> None:
    """Neither a file's bytes, nor a token, nor a two-factor seed lies in clear in the data folder."""
    canary = b"canary-" + os.urandom(24).hex().encode()
    headers, body = form(token, canary * 1000, "canary.txt")
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body)
        file = receive(connection).json()
    link = service.call("POST", f"/files/{file['id']}/share", token=token, body={}).json()
    seed = service.call("POST", "/auth/2fa/setup", token=token).json()["secret"]
    secrets = [canary, token.encode(), link["share_token"].encode(), seed.encode()]
    everything = [path.read_bytes() for path in service.data.rglob("*") if path.is_file()]
    everything.append(service.log.read_bytes())
    for secret in secrets:
        assert not any(secret in content for content in everything)


def test_the_log_is_json_lines(service: Service) -> None:
    """After its greeting, every line that the service logs is one JSON object."""
    call(service.port, "GET", "/health")
    lines = [line for line in service.log.read_text().splitlines() if line.startswith("{")]
    assert lines
    assert all(json.loads(line)["time"] for line in lines)
