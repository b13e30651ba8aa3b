"""
A faulty connection to an S3 server, or a faulty server: an HTTP proxy that breaks chosen requests.

It listens on loopback and forwards each request unchanged, so that its signature stays valid. A `Fault`, one of the
functions below, replaces that exchange.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, TypeAlias

import attrs

from support.servers.backends import S3

BLOCK: Final = 64 << 10
NEVER_SECONDS: Final = 30.0


class ConnectionEndedError(Exception):
    """
    The connection cannot be used any more.
    """


@attrs.define
class Reply:
    """
    The response of the upstream server.
    """

    status: str
    headers: dict[str, str]
    body: bytes

    def __bytes__(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status}", *(f"{name}: {value}" for name, value in self.headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@attrs.define
class Exchange:
    """
    One request of a client, and the actions that a fault can take on it.
    """

    proxy: S3Proxy
    line: socket.socket
    reader: BinaryIO
    head: list[bytes]
    _body: bytes | None = None

    @property
    def method(self) -> str:
        return self.head[0].split()[0].decode()

    @property
    def target(self) -> str:
        return self.head[0].split()[1].decode()

    def header(self, name: str) -> str:
        """
        Return a header's value, or the empty string.
        """
        for line in self.head[1:]:
            found, _, value = line.decode().partition(":")
            if found.lower() == name.lower():
                return value.strip()
        return ""

    @property
    def length(self) -> int:
        return int(self.header("Content-Length") or 0)

    def body(self) -> bytes:
        """
        Return the request's body.

        Raises:
            ConnectionEndedError: the client does not send all of it.
        """
        if self._body is None:
            self._body = self.reader.read(self.length)
            if len(self._body) < self.length:
                self.forward(self._body, complete=False)
                raise ConnectionEndedError
        return self._body

    def forward(self, body: bytes | None = None, *, complete: bool = True) -> Reply:
        """
        Forward the request and return the response; unless `complete`, close after this much of its body.
        """
        body = self.body() if body is None else body
        host, _, port = self.proxy.upstream.endpoint.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=NEVER_SECONDS) as server:
            server.sendall(b"".join([self.head[0], b"Connection: close\r\n", *self.head[1:], b"\r\n"]))
            server.sendall(body)
            if not complete:
                return Reply("", {}, b"")
            with server.makefile("rb") as response:
                status = response.readline().decode().split(maxsplit=1)[1].strip()
                headers = {}
                for line in iter(response.readline, b"\r\n"):
                    name, _, value = line.decode().partition(":")
                    headers[name] = value.strip()
                headers.pop("Connection", None)
                return Reply(status, headers, response.read())

    def send(self, data: bytes) -> None:
        """
        Send bytes to the client.
        """
        try:
            self.line.sendall(data)
        except OSError:
            raise ConnectionEndedError from None

    def reset(self) -> None:
        """
        Reset the connection (RST), as a crash does.
        """
        self.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionEndedError


Fault: TypeAlias = Callable[[Exchange], None]


@attrs.define
class S3Proxy:
    """
    The proxy in front of `upstream`; a fault affects the N-th request since `arm`, or every request.
    """

    upstream: S3
    port: int
    fault: Fault | None = None
    nth: int | None = None
    requests: list[str] = attrs.field(factory=list)
    broken: int = 0
    closed: threading.Event = attrs.field(factory=threading.Event)
    lock: threading.Lock = attrs.field(factory=threading.Lock)
    put_lock: threading.Lock = attrs.field(factory=threading.Lock)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def arm(self, fault: Fault | None = None, nth: int | None = None) -> None:
        """
        Apply this fault to the N-th further request, or to each one without a number.
        """
        with self.lock:
            self.fault, self.nth = fault, nth
            self.requests.clear()
            self.broken = 0

    def serve(self, line: socket.socket) -> None:
        """
        Handle one connection's requests until it ends.
        """
        with line, line.makefile("rb") as reader, contextlib.suppress(ConnectionEndedError, OSError):
            while head := _head(reader):
                self.handle(Exchange(self, line, reader, head))

    def handle(self, exchange: Exchange) -> None:
        """
        Apply the armed fault to a request, or forward it.
        """
        with self.lock:
            self.requests.append(f"{exchange.method} {exchange.target.partition('?')[0]}")
            fault = self.fault if self.nth in {None, len(self.requests)} else None
            self.broken += fault is not None
        if fault is None:
            exchange.send(bytes(exchange.forward()))
        else:
            fault(exchange)


def _head(reader: BinaryIO) -> list[bytes]:
    """
    Return a request's head without its empty line, or nothing at the end or for malformed input.
    """
    lines = []
    while (line := reader.readline(BLOCK)).endswith(b"\r\n") and line != b"\r\n":
        lines.append(line)
    return lines if line == b"\r\n" else []


@contextmanager
def faulty(upstream: S3, *, tls: ssl.SSLContext | None = None) -> Iterator[S3Proxy]:
    """
    Run a proxy in front of a server, without a fault until it is armed; with `tls` it speaks TLS.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = S3Proxy(upstream, listener.getsockname()[1])
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                thread = threading.Thread(target=speak, args=(line,))
                threads.append(thread)
                thread.start()

        def speak(line: socket.socket) -> None:
            line.settimeout(NEVER_SECONDS)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                try:
                    line = tls.wrap_socket(line, server_side=True)
                except OSError:
                    line.close()
                    return
            lines.append(line)
            proxy.serve(line)

        lines: list[socket.socket] = []
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield proxy
        finally:
            proxy.closed.set()
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for line in lines:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


# --- lost connections --------------------------------------------------------------------------


def reset_after_head(exchange: Exchange) -> None:
    """
    Reset the connection after the request's head.
    """
    exchange.reset()


def reset_within_body(exchange: Exchange) -> None:
    """
    Reset the connection after half of the body, which the upstream server receives.
    """
    exchange.forward(exchange.reader.read(exchange.length // 2), complete=exchange.length == 0)
    exchange.reset()


def reset_after_commit(exchange: Exchange) -> None:
    """
    Execute the request, and reset the connection before the response.
    """
    exchange.forward()
    exchange.reset()


def close_without_response(exchange: Exchange) -> None:
    """
    Execute the request, and close the connection without a response.
    """
    exchange.forward()
    raise ConnectionEndedError


def reset_after_response_head(exchange: Exchange) -> None:
    """
    Execute the request, and reset the connection after the response's head.
    """
    reply = exchange.forward()
    exchange.send(bytes(attrs.evolve(reply, body=b"")))
    exchange.reset()


def stall_after_commit(exchange: Exchange) -> None:
    """
    Execute the request, and send no response while the connection stays open.
    """
    exchange.forward()
    stall(exchange)


def stall(exchange: Exchange) -> None:
    """
    Send no response while the connection stays open.
    """
    exchange.body()
    exchange.proxy.closed.wait(NEVER_SECONDS)
    raise ConnectionEndedError


def trickle(exchange: Exchange) -> None:
    """
    Send the response one byte at a time, each within the read timeout.
    """
    for byte in bytes(exchange.forward()):
        exchange.send(bytes([byte]))
        if exchange.proxy.closed.wait(0.05):
            raise ConnectionEndedError


# --- refusals ----------------------------------------------------------------------------------


def answer(status: str, body: str = "", content_type: str = "application/xml", **headers: str) -> Fault:
    """
    Return a fault that sends this response to every request and executes none.
    """

    def fault(exchange: Exchange) -> None:
        exchange.body()
        fields = {"Content-Type": content_type, "Content-Length": str(len(body.encode())), **headers}
        sent = b"" if exchange.method == "HEAD" else body.encode()
        exchange.send(bytes(Reply(status, {name.replace("_", "-"): text for name, text in fields.items()}, sent)))

    fault.__name__ = f"answer {status}"
    return fault


def refusal(status: str, code: str, **headers: str) -> Fault:
    """
    Return a fault that responds with an S3 error document.
    """
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>a secret text</Message></Error>'
    fault = answer(status, text, **headers)
    fault.__name__ = f"{status} {code}"
    return fault


def refuse_early(exchange: Exchange) -> None:
    """
    Refuse the request before its body was read, and close the connection.
    """
    refusal("507 Insufficient Storage", "XMinioStorageFull")(attrs.evolve(exchange, body=b""))
    exchange.line.shutdown(socket.SHUT_WR)
    raise ConnectionEndedError


def acknowledge_early(exchange: Exchange) -> None:
    """
    Acknowledge an upload before its body was read, and reset the connection.
    """
    exchange.send(bytes(Reply("200 OK", {"ETag": '"0123"', "Content-Length": "0"}, b"")))
    exchange.reset()


# --- false responses ---------------------------------------------------------------------------


def _changed(change: Callable[[Reply], None]) -> Fault:
    def fault(exchange: Exchange) -> None:
        reply = exchange.forward()
        change(reply)
        exchange.send(bytes(reply))

    fault.__name__ = change.__name__
    return fault


def cut_short(exchange: Exchange) -> None:
    """
    Send nine tenths of the announced body.
    """
    reply = exchange.forward()
    reply.body = reply.body[: len(reply.body) * 9 // 10]
    exchange.send(bytes(reply))
    raise ConnectionEndedError


@_changed
def announced_short(reply: Reply) -> None:
    """
    Announce and send a body that is a tenth shorter than requested.
    """
    reply.body = reply.body[: len(reply.body) * 9 // 10]
    reply.headers["Content-Length"] = str(len(reply.body))


@_changed
def longer(reply: Reply) -> None:
    """
    Announce and send a body that is longer than requested.
    """
    reply.body += os.urandom(10_000)
    reply.headers["Content-Length"] = str(len(reply.body))


@_changed
def longer_than_announced(reply: Reply) -> None:
    """
    Send more bytes than announced.
    """
    reply.body += b"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 0\r\n\r\n"


@_changed
def foreign(reply: Reply) -> None:
    """
    Send bytes that are not the object's.
    """
    reply.body = os.urandom(len(reply.body))


@_changed
def without_content_range(reply: Reply) -> None:
    """
    Send part of the object without `Content-Range`.
    """
    reply.status = "206 Partial Content"
    reply.headers.pop("Content-Range", None)


@_changed
def another_range(reply: Reply) -> None:
    """
    Report another range than the requested one.
    """
    if "Content-Range" in reply.headers:
        _, total = reply.headers["Content-Range"].split("/")
        reply.headers["Content-Range"] = f"bytes 0-{len(reply.body) - 1}/{total}"


@_changed
def another_end(reply: Reply) -> None:
    """
    Report a range that ends a byte later than the requested one.
    """
    if reported := reply.headers.get("Content-Range"):
        part, _, total = reported.partition("/")
        first, _, last = part.partition("-")
        reply.headers["Content-Range"] = f"{first}-{int(last) + 1}/{total}"


@_changed
def another_total(reply: Reply) -> None:
    """
    Report an object that is longer than before.
    """
    reply.headers["Content-Range"] = reply.headers.get("Content-Range", "bytes 0-0/0") + "7"


@_changed
def nonsense_headers(reply: Reply) -> None:
    """
    Send malformed numbers and times in the headers.
    """
    reply.headers |= {"Content-Range": "bytes ½", "Last-Modified": "tomorrow", "Content-Length": "-1", "ETag": "½½"}


@_changed
def compressed(reply: Reply) -> None:
    """
    Report a compressed body.
    """
    reply.headers["Content-Encoding"] = "gzip"


@_changed
def another_etag(reply: Reply) -> None:
    """
    Report the ETag of another content.
    """
    for name in reply.headers:
        if name.lower() == "etag":
            reply.headers[name] = '"00000000000000000000000000000000"'


def deleted_nothing(exchange: Exchange) -> None:
    """
    Acknowledge a delete without executing it.
    """
    if exchange.method == "DELETE":
        answer("204 No Content")(exchange)
    else:
        exchange.send(bytes(exchange.forward()))


def found_nothing(exchange: Exchange) -> None:
    """
    Report a requested or deleted object as missing, and a listing as empty.
    """
    if exchange.method in {"HEAD", "DELETE"}:
        refusal("404 Not Found", "NoSuchKey")(exchange)
    elif "list-type" in exchange.target:
        nothing = "<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
        answer("200 OK", nothing)(exchange)
    else:
        exchange.send(bytes(exchange.forward()))


def whole_object(exchange: Exchange) -> None:
    """
    Ignore `Range`, and send the object from its first byte.
    """
    bucket, _, key = exchange.target.lstrip("/").partition("/")
    if exchange.method != "GET" or not key:
        exchange.send(bytes(exchange.forward()))
        return
    found = exchange.proxy.upstream.client().get_object(bucket, key)
    try:
        content = found.read()
    finally:
        found.close()
        found.release_conn()
    exchange.send(bytes(Reply("200 OK", {"ETag": '"0123"', "Content-Length": str(len(content))}, content)))


def endless(exchange: Exchange) -> None:
    """
    Send a body that does not end while the client reads.
    """
    exchange.body()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n<x>")
    while not exchange.proxy.closed.is_set():
        exchange.send(b"x" * BLOCK)
    raise ConnectionEndedError


def endless_continues(exchange: Exchange) -> None:
    """
    Send `100 Continue` repeatedly and never a final response.
    """
    while not exchange.proxy.closed.is_set():
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)
    raise ConnectionEndedError


def endless_pages(exchange: Exchange) -> None:
    """
    Send an empty page of a listing that promises another.
    """
    answer(
        "200 OK",
        "<ListBucketResult><Name>b</Name><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>again</NextContinuationToken></ListBucketResult>",
    )(exchange)


def entities(exchange: Exchange) -> None:
    """
    Send a page of a listing with exponentially nested entities.
    """
    nested = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    answer("200 OK", f'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{nested}]><x><Name>&i;</Name></x>')(exchange)


def _is_there(exchange: Exchange) -> bool:
    bucket, _, key = exchange.target.lstrip("/").partition("/")
    return any(found.object_name == key for found in exchange.proxy.upstream.client().list_objects(bucket, key))


def conditional(exchange: Exchange) -> None:
    """
    Apply `If-None-Match: *` for an upstream server that does not support it; no fault.
    """
    if exchange.header("If-None-Match") != "*":
        exchange.send(bytes(exchange.forward()))
        return
    exchange.body()
    with exchange.proxy.put_lock:
        if not _is_there(exchange):
            exchange.send(bytes(exchange.forward()))
            return
    refusal("412 Precondition Failed", "PreconditionFailed")(exchange)
