"""
Behaviour visible only on the wire: the server's own responses, bodies moved by threads, and HTTP's grammar.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.clients.wire import call, connected, form, multipart, next_body, receive, receive_head, send, upload
from support.servers.processes import process_tree
from support.servers.service import Service
from support.waiting import eventually

MIB = 1 << 20
CHUNK = 16_384
FOREIGN = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture(scope="module")
def token(service: Service) -> str:
    return service.sign_up("wire")


CONTENT = os.urandom(3 * CHUNK + 100)


@pytest.mark.parametrize(
    ("request_head", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "malformed-request"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "malformed-request"),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "malformed-request"),
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
def test_request_refused_by_the_server_gets_problem_details(
    service: Service, request_head: bytes, status: int, code: str
) -> None:
    """The response has the usual headers, the request is logged, and the server software is not named."""
    usual = set(call(service.port, "GET", "/nowhere").headers)
    with connected(service.port) as connection:
        connection.sendall(request_head)
        response = receive(connection)
    assert response.status == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code
    assert response.json()["instance"] == f"urn:uuid:{response.headers['x-request-id']}"
    assert set(response.headers) >= usual - {"date"}
    assert response.headers["x-request-id"] in service.log.read_text()
    assert "gunicorn" not in repr(response).lower()


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/files/upload", {}, 401),
        ("/nowhere", {}, 404),
        ("/auth/me", {}, 405),
        ("/files/upload", {"Authorization": "Bearer {token}", "Content-Length": "9" * 20}, 413),
        ("/files/upload", {"Authorization": "Bearer {token}", "Content-Type": "text/plain"}, 415),
        ("/files/upload?is_public=maybe", {"Authorization": "Bearer {token}"}, 422),
        ("/files/upload?share_expires_hours=721", {"Authorization": "Bearer {token}"}, 422),
        ("/auth/login", {"Content-Type": "text/plain"}, 415),
        ("/auth/login", {"Content-Type": "application/json"}, 413),
        ("/auth/2fa/verify", {"Content-Type": "application/json"}, 401),
        ("/files/nonsense/share", {"Authorization": "Bearer {token}", "Content-Type": "application/json"}, 404),
        (f"/files/{FOREIGN}/share", {"Authorization": "Bearer {token}", "Content-Type": "application/json"}, 404),
    ],
)
def test_request_refused_by_its_head_is_answered_before_its_body(
    service: Service, token: str, path: str, more: dict[str, str], status: int
) -> None:
    """A client that waits for `100 Continue` receives the error in its place, and the connection is closed."""
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "1000000", **more}
    lines = [f"POST {service.api}{path} HTTP/1.1", "Host: 127.0.0.1", "Expect: 100-continue"]
    lines += [f"{name}: {value.format(token=token)}" for name, value in headers.items()]
    with connected(service.port) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        response = receive(connection)
    assert response.status == status
    assert response.headers["connection"] == "close"


HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
UPGRADE = (
    b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize(
    "request_head",
    [
        HEALTH.replace(b"Connection: close\r\n", UPGRADE),
        HEALTH.replace(b"GET /health", b"GET http://files.example.org/health"),
        HEALTH.replace(b"GET /health", b"GET HTTP://[::1]:8000/health?a=/b"),
        b"\r\n" + HEALTH,
        b"\r\n\r\n" + HEALTH,
    ],
    ids=["an upgrade", "absolute form", "absolute form of another case", "an empty line", "two empty lines"],
)
def test_valid_but_unusual_request_head_is_accepted(service: Service, request_head: bytes) -> None:
    """An unsupported upgrade is ignored, a target may be absolute, and empty lines may precede the request."""
    with connected(service.port) as connection:
        connection.sendall(request_head)
        response = receive(connection)
    assert (response.status, response.json()) == (200, {"status": "healthy"})
    assert "Traceback" not in service.log.read_text()


def test_absolute_target_without_a_path_is_the_root(service: Service) -> None:
    """An empty path is equivalent to `/` (RFC 9110, section 4.2.3)."""
    with connected(service.port) as connection:
        connection.sendall(HEALTH.replace(b"GET /health", b"GET http://files.example.org"))
        assert receive(connection).json()["docs"] == "/docs"


def test_status_line_has_the_reason_phrase_of_the_problem_title(service: Service, token: str) -> None:
    """The example is 416."""
    headers, body = form(token, CONTENT, "phrase.bin")
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body)
        path = f"{service.api}/files/{receive(connection).json()['id']}/download"
    with connected(service.port) as connection:
        send(connection, "GET", path, {"Authorization": f"Bearer {token}", "Range": "bytes=900000-"}, 0)
        head, _, problem = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.splitlines()[0].decode() == f"HTTP/1.1 416 {json.loads(problem)['title']}"


def test_download_of_a_damaged_part_is_logged_once(service: Service, token: str) -> None:
    """The connection is closed within the damaged part, and one error line names the cause and the request id."""
    headers, body = form(token, os.urandom(3 * MIB), "broken.bin")
    before = service.stored()
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body)
        file = receive(connection).json()
    (key,) = service.stored() - before
    blob = service.data / "blobs" / key
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(content)
    asked = {"Authorization": f"Bearer {token}", "X-Request-ID": "the-broken-one"}
    with connected(service.port) as connection:
        send(connection, "GET", f"{service.api}/files/{file['id']}/download", asked, 0)
        assert len(receive(connection).body) < 3 * MIB
    service.call("DELETE", f"/files/{file['id']}", token=token)
    lines = [line for line in service.log.read_text().splitlines() if '"level": "error"' in line]
    assert ["the-broken-one" in line and "content-not-authentic" in line for line in lines] == [True]


def test_accepted_upload_receives_100_continue(service: Service, token: str) -> None:
    """The body is then stored."""
    headers, body = form(token, CONTENT, "expected.bin")
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers | {"Expect": "100-continue"}, len(body))
        assert receive_head(connection)[0] == 100
        connection.sendall(body)
        assert receive(connection).status == 201


@pytest.mark.parametrize("sign_in", [True, False])
def test_refusal_reaches_a_client_that_is_still_sending(service: Service, token: str, *, sign_in: bool) -> None:
    """A client that sends its whole body before it reads receives the response and no reset."""
    headers, around = multipart("../refused.bin")
    if sign_in:
        headers["Authorization"] = f"Bearer {token}"
    response = upload(
        service.port, "POST", f"{service.api}/files/upload", size=32 * MIB, headers=headers, around=around
    )
    assert response.status == (422 if sign_in else 401)
    eventually(service.is_tidy)


def test_no_response_names_the_server_software(service: Service) -> None:
    """Checked for a success, a 404 and a 401."""
    for path in ("/health", "/nowhere", "/api/v1/auth/me"):
        assert "gunicorn" not in repr(call(service.port, "GET", path)).lower()


def test_closed_downloads_release_their_descriptors(service: Service, token: str) -> None:
    """One hundred interrupted downloads leave no open file and no connection."""
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


def test_no_plaintext_or_secret_is_stored_or_logged(service: Service, token: str) -> None:
    """The bytes of a file, tokens and a TOTP seed appear in no file of the data folder and not in the log."""
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


def test_log_consists_of_json_lines(service: Service) -> None:
    """Every line after the greeting is one JSON object."""
    call(service.port, "GET", "/health")
    lines = [line for line in service.log.read_text().splitlines() if line.startswith("{")]
    assert lines
    assert all(json.loads(line)["time"] for line in lines)


def test_pipelined_requests_after_large_bodies_are_answered_in_order(service: Service, token: str) -> None:
    """One connection carries an upload, downloads, a range and small requests."""
    content = os.urandom(5 * MIB + 12_345)
    headers, body = form(token, content, "in-turn.bin")
    bearer = f"Authorization: Bearer {token}\r\n"
    health = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    with connected(service.port) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {service.api}/files/upload HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        connection.sendall(head.encode() + body + health.encode())
        responses = connection.makefile("rb")
        path = f"{service.api}/files/{json.loads(next_body(responses, 201))['id']}/download"
        assert json.loads(next_body(responses, 200)) == {"status": "healthy"}
        whole = f"GET {path} HTTP/1.1\r\nHost: a\r\n{bearer}\r\n"
        part = f"GET {path} HTTP/1.1\r\nHost: a\r\n{bearer}Range: bytes=1048575-3145729\r\n\r\n"
        connection.sendall((whole + health + part + health + whole).encode())
        assert next_body(responses, 200) == content
        assert json.loads(next_body(responses, 200)) == {"status": "healthy"}
        assert next_body(responses, 206) == content[1_048_575:3_145_730]
        assert json.loads(next_body(responses, 200)) == {"status": "healthy"}
        assert next_body(responses, 200) == content
    expected = [len(content), 3_145_730 - 1_048_575, len(content)]
    eventually(lambda: sizes_of_downloads(service)[-3:] == expected)


def test_body_in_single_byte_chunks_is_stored_completely(service: Service, token: str) -> None:
    """A request pipelined after it is answered too."""
    content = os.urandom(3 * CHUNK)
    bearer = f"Host: a\r\nAuthorization: Bearer {token}\r\n"
    head = f"PUT {service.api}/files/bytes.bin HTTP/1.1\r\n{bearer}Transfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in content) + b"0\r\n\r\n"
    with connected(service.port) as connection:
        connection.sendall(head.encode() + chunks + f"GET /health HTTP/1.1\r\n{bearer}\r\n".encode())
        responses = connection.makefile("rb")
        path = f"{service.api}/files/{json.loads(next_body(responses, 201))['id']}/download"
        assert json.loads(next_body(responses, 200)) == {"status": "healthy"}
        connection.sendall(f"GET {path} HTTP/1.1\r\n{bearer}\r\n".encode())
        assert next_body(responses, 200) == content


@pytest.mark.parametrize("line", [b"1;a=" + b"b" * 4000, b"0" * 4000 + b"1"], ids=["extensions", "zeros"])
def test_chunked_body_with_excessive_framing_is_refused(service: Service, token: str, line: bytes) -> None:
    """Framing beyond 16 KiB is a malformed request, and nothing is stored."""
    head = f"PUT {service.api}/files/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
    with connected(service.port) as connection:
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + (line + b"\r\na\r\n") * 5)
        response = receive(connection)
    assert (response.status, response.json()["code"]) == (400, "malformed-request")
    eventually(service.is_tidy)


def test_endless_empty_lines_are_refused(service: Service) -> None:
    """A few empty lines may precede a request; 100 000 are a malformed request."""
    with connected(service.port) as connection:
        connection.sendall(b"\r\n" * 100_000)
        response = receive(connection)
    assert (response.status, response.json()["code"]) == (400, "malformed-request")


def sizes_of_downloads(service: Service) -> list[int]:
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    return [line["bytes"] for line in lines if "/download" in line.get("route", "")]
