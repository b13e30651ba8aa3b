"""
An HTTP client on plain sockets with large buffers, so that it costs a measured server little.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import attrs

BLOCK = 1 << 20
BOUNDARY = "------------------------d74496d66958873e"
"""The form of curl's boundaries."""


@attrs.frozen
class Response:
    """
    A response: its status, its headers (names in lower case) and its body, if it was kept.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def head(method: str, path: str, headers: dict[str, str], length: int) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {length}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def send(connection: socket.socket, method: str, path: str, headers: dict[str, str], length: int) -> None:
    connection.sendall(head(method, path, headers, length))


def receive_head(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("the server closed the connection before it had answered")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, rest


def receive(connection: socket.socket) -> Response:
    status, headers, body = receive_head(connection)
    while piece := connection.recv(65536):
        body += piece
    return Response(status, headers, body)


def next_body(responses: BinaryIO, *statuses: int) -> bytes:
    """
    Return the body of the next response on a kept-alive connection, which has one of these statuses.
    """
    assert int(responses.readline().split()[1]) in statuses
    headers = dict(line.decode().strip().lower().split(": ", 1) for line in iter(responses.readline, b"\r\n"))
    return responses.read(int(headers["content-length"]))


def call(port: int, method: str, path: str, *, token: str = "", body: Any = None) -> Response:
    """
    Send a small request with an optional JSON body and bearer token.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = b""
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    with connected(port) as connection:
        send(connection, method, path, headers, len(data))
        connection.sendall(data)
        return receive(connection)


def send_simultaneously(port: int, request: bytes, *, clients: int) -> list[Response]:
    """
    Return the responses to one request that this many connections complete at the same moment.

    Each connection first sends all but the last byte; then the last bytes follow one another.
    """
    with ExitStack() as stack:
        waiting = [stack.enter_context(connected(port)) for _ in range(clients)]
        for connection in waiting:
            connection.sendall(request[:-1])
        for connection in waiting:
            connection.sendall(request[-1:])
        return [receive(connection) for connection in waiting]


def upload(
    port: int, method: str, path: str, *, size: int, headers: dict[str, str], around: tuple[bytes, bytes] = (b"", b"")
) -> Response:
    """
    Send `size` bytes as a body, with bytes before and after them (a multipart form).
    """
    block = memoryview(bytes(range(256)) * (BLOCK // 256))
    with connected(port) as connection:
        send(connection, method, path, headers, len(around[0]) + size + len(around[1]))
        connection.sendall(around[0])
        left = size
        while left:
            sent = block[: min(left, BLOCK)]
            connection.sendall(sent)
            left -= len(sent)
        connection.sendall(around[1])
        return receive(connection)


def multipart(name: str) -> tuple[dict[str, str], tuple[bytes, bytes]]:
    """
    Return the headers of a form with one file, and the bytes around the file's content.
    """
    before = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    after = f"\r\n--{BOUNDARY}--\r\n"
    return {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}, (before.encode(), after.encode())


def form(token: str, content: bytes, name: str = "cut.bin") -> tuple[dict[str, str], bytes]:
    """
    Return the headers and the body of an upload with this bearer token.
    """
    headers, (before, after) = multipart(name)
    return headers | {"Authorization": f"Bearer {token}"}, before + content + after


def download(port: int, path: str, *, token: str = "") -> int:
    """
    Read and discard a whole response body, and return its length.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    buffer = bytearray(BLOCK)
    with connected(port) as connection:
        send(connection, "GET", path, headers, 0)
        status, answered, rest = receive_head(connection)
        if status != 200:
            raise ConnectionError(f"status {status}")
        received = len(rest)
        while count := connection.recv_into(buffer):
            received += count
    if received != int(answered["content-length"]):
        raise ConnectionError(f"{received} bytes of {answered['content-length']}")
    return received
