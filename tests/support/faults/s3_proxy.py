"""
A faulty line to an S3 server, or a faulty server: a real HTTP proxy that breaks chosen requests.

It listens on loopback, passes each request on as it came (the signature stays good), and lets a
`Fault` do with the exchange what it likes instead. Faults are small functions below.
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
    The connection is of no more use.
    """


@attrs.define
class Reply:
    """
    What the server behind answered.
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
    One request on its way, and what can be done with it.
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
        A header's value, or nothing.
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
        The request's body; `ConnectionEndedError` if the client does not send all of it.
        """
        if self._body is None:
            self._body = self.reader.read(self.length)
            if len(self._body) < self.length:
                self.forward(self._body, complete=False)
                raise ConnectionEndedError
        return self._body

    def forward(self, body: bytes | None = None, *, complete: bool = True) -> Reply:
        """
        Pass the request on and return the answer; not `complete`: break off after this much of its body.
        """
        body = self.body() if body is None else body
        host, _, port = self.proxy.upstream.endpoint.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=NEVER_SECONDS) as server:
            server.sendall(b"".join([self.head[0], b"Connection: close\r\n", *self.head[1:], b"\r\n"]))
            server.sendall(body)
            if not complete:
                return Reply("", {}, b"")
            with server.makefile("rb") as answer:
                status = answer.readline().decode().split(maxsplit=1)[1].strip()
                headers = {}
                for line in iter(answer.readline, b"\r\n"):
                    name, _, value = line.decode().partition(":")
                    headers[name] = value.strip()
                headers.pop("Connection", None)
                return Reply(status, headers, answer.read())

    def send(self, data: bytes) -> None:
        """
        Send bytes to the client, whatever they are.
        """
        try:
            self.line.sendall(data)
        except OSError:
            raise ConnectionEndedError from None

    def reset(self) -> None:
        """
        Break the connection as a crash does (RST).
        """
        self.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionEndedError


Fault: TypeAlias = Callable[[Exchange], None]


@attrs.define
class S3Proxy:
    """
    The proxy in front of `upstream`. The N-th request since `arm` meets a fault, or every one.
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
        From now on break the N-th request by this fault; without a number each one.
        """
        with self.lock:
            self.fault, self.nth = fault, nth
            self.requests.clear()
            self.broken = 0

    def serve(self, line: socket.socket) -> None:
        """
        Answer one connection's requests until it ends.
        """
        with line, line.makefile("rb") as reader, contextlib.suppress(ConnectionEndedError, OSError):
            while head := _head(reader):
                self.handle(Exchange(self, line, reader, head))

    def handle(self, exchange: Exchange) -> None:
        """
        Break a request, or pass it on.
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
    A request's first lines up to the empty one; none at the end, or if it is no HTTP.
    """
    lines = []
    while (line := reader.readline(BLOCK)).endswith(b"\r\n") and line != b"\r\n":
        lines.append(line)
    return lines if line == b"\r\n" else []


@contextmanager
def faulty(upstream: S3, *, tls: ssl.SSLContext | None = None) -> Iterator[S3Proxy]:
    """
    A proxy in front of a server, faultless until it is armed; with `tls` it speaks TLS.
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


# --- the line breaks ---------------------------------------------------------------------------


def reset_after_head(exchange: Exchange) -> None:
    """
    The connection breaks when the request's head has come.
    """
    exchange.reset()


def reset_within_body(exchange: Exchange) -> None:
    """
    The connection breaks when half of the body has come; the server behind gets that half.
    """
    exchange.forward(exchange.reader.read(exchange.length // 2), complete=exchange.length == 0)
    exchange.reset()


def reset_after_commit(exchange: Exchange) -> None:
    """
    The server does what it was asked, and its answer is lost.
    """
    exchange.forward()
    exchange.reset()


def close_without_response(exchange: Exchange) -> None:
    """
    The server does what it was asked, and closes the connection politely.
    """
    exchange.forward()
    raise ConnectionEndedError


def reset_after_response_head(exchange: Exchange) -> None:
    """
    The server does what it was asked, and the line breaks when the head of its answer has come.
    """
    reply = exchange.forward()
    exchange.send(bytes(attrs.evolve(reply, body=b"")))
    exchange.reset()


def stall_after_commit(exchange: Exchange) -> None:
    """
    The server does what it was asked, and never says so.
    """
    exchange.forward()
    stall(exchange)


def stall(exchange: Exchange) -> None:
    """
    Nobody answers; the connection stays open.
    """
    exchange.body()
    exchange.proxy.closed.wait(NEVER_SECONDS)
    raise ConnectionEndedError


def trickle(exchange: Exchange) -> None:
    """
    The answer comes one byte at a time, each in good time.
    """
    for byte in bytes(exchange.forward()):
        exchange.send(bytes([byte]))
        if exchange.proxy.closed.wait(0.05):
            raise ConnectionEndedError


# --- the server refuses ------------------------------------------------------------------------


def answer(status: str, body: str = "", content_type: str = "application/xml", **headers: str) -> Fault:
    """
    The server answers this to whatever it is asked, and does nothing.
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
    The server refuses in S3's way.
    """
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>a secret text</Message></Error>'
    fault = answer(status, text, **headers)
    fault.__name__ = f"{status} {code}"
    return fault


def refuse_early(exchange: Exchange) -> None:
    """
    The server refuses before it has read the body, and closes the connection.
    """
    refusal("507 Insufficient Storage", "XMinioStorageFull")(attrs.evolve(exchange, body=b""))
    exchange.line.shutdown(socket.SHUT_WR)
    raise ConnectionEndedError


def acknowledge_early(exchange: Exchange) -> None:
    """
    The server says that an object is stored before it has seen it, and hangs up.
    """
    exchange.send(bytes(Reply("200 OK", {"ETag": '"0123"', "Content-Length": "0"}, b"")))
    exchange.reset()


# --- the server lies ---------------------------------------------------------------------------


def _changed(change: Callable[[Reply], None]) -> Fault:
    def fault(exchange: Exchange) -> None:
        reply = exchange.forward()
        change(reply)
        exchange.send(bytes(reply))

    fault.__name__ = change.__name__
    return fault


def cut_short(exchange: Exchange) -> None:
    """
    The body ends at nine tenths of the length that was announced.
    """
    reply = exchange.forward()
    reply.body = reply.body[: len(reply.body) * 9 // 10]
    exchange.send(bytes(reply))
    raise ConnectionEndedError


@_changed
def announced_short(reply: Reply) -> None:
    """
    The body is a tenth shorter than asked for, and announced as such.
    """
    reply.body = reply.body[: len(reply.body) * 9 // 10]
    reply.headers["Content-Length"] = str(len(reply.body))


@_changed
def longer(reply: Reply) -> None:
    """
    The body goes on after what was asked for, and announced as such.
    """
    reply.body += os.urandom(10_000)
    reply.headers["Content-Length"] = str(len(reply.body))


@_changed
def longer_than_announced(reply: Reply) -> None:
    """
    More bytes come than were announced.
    """
    reply.body += b"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 0\r\n\r\n"


@_changed
def foreign(reply: Reply) -> None:
    """
    The bytes are another object's.
    """
    reply.body = os.urandom(len(reply.body))


@_changed
def without_content_range(reply: Reply) -> None:
    """
    A part of the object, and no word which.
    """
    reply.status = "206 Partial Content"
    reply.headers.pop("Content-Range", None)


@_changed
def another_range(reply: Reply) -> None:
    """
    Another part of the object than was asked for.
    """
    if "Content-Range" in reply.headers:
        _, total = reply.headers["Content-Range"].split("/")
        reply.headers["Content-Range"] = f"bytes 0-{len(reply.body) - 1}/{total}"


@_changed
def another_end(reply: Reply) -> None:
    """
    A part that begins where it was asked to and ends a byte later.
    """
    if reported := reply.headers.get("Content-Range"):
        part, _, total = reported.partition("/")
        first, _, last = part.partition("-")
        reply.headers["Content-Range"] = f"{first}-{int(last) + 1}/{total}"


@_changed
def another_total(reply: Reply) -> None:
    """
    The object is longer than it was.
    """
    reply.headers["Content-Range"] = reply.headers.get("Content-Range", "bytes 0-0/0") + "7"


@_changed
def nonsense_headers(reply: Reply) -> None:
    """
    Numbers are no numbers and times are no times.
    """
    reply.headers |= {"Content-Range": "bytes ½", "Last-Modified": "tomorrow", "Content-Length": "-1", "ETag": "½½"}


@_changed
def compressed(reply: Reply) -> None:
    """
    The body claims to be compressed.
    """
    reply.headers["Content-Encoding"] = "gzip"


@_changed
def another_etag(reply: Reply) -> None:
    """
    The object is said to have another content than it has.
    """
    for name in reply.headers:
        if name.lower() == "etag":
            reply.headers[name] = '"00000000000000000000000000000000"'


def deleted_nothing(exchange: Exchange) -> None:
    """
    A delete is said to have been done, and was not.
    """
    if exchange.method == "DELETE":
        answer("204 No Content")(exchange)
    else:
        exchange.send(bytes(exchange.forward()))


def found_nothing(exchange: Exchange) -> None:
    """
    What is looked for or to be deleted is said not to be there; a listing has nothing in it.
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
    The server does not know ranges: it answers with the object from its first byte.
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
    A good answer's body that does not end as long as somebody reads it.
    """
    exchange.body()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n<x>")
    while not exchange.proxy.closed.is_set():
        exchange.send(b"x" * BLOCK)
    raise ConnectionEndedError


def endless_continues(exchange: Exchange) -> None:
    """
    The server asks to go on, again and again, and never answers.
    """
    while not exchange.proxy.closed.is_set():
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)
    raise ConnectionEndedError


def endless_pages(exchange: Exchange) -> None:
    """
    A listing's page that holds nothing and promises another.
    """
    answer(
        "200 OK",
        "<ListBucketResult><Name>b</Name><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>again</NextContinuationToken></ListBucketResult>",
    )(exchange)


def entities(exchange: Exchange) -> None:
    """
    A listing's page whose entities grow without bound.
    """
    nested = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    answer("200 OK", f'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{nested}]><x><Name>&i;</Name></x>')(exchange)


def _is_there(exchange: Exchange) -> bool:
    bucket, _, key = exchange.target.lstrip("/").partition("/")
    return any(found.object_name == key for found in exchange.proxy.upstream.client().list_objects(bucket, key))


def conditional(exchange: Exchange) -> None:
    """
    No fault: the server behind learns to keep to `If-None-Match: *`.
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
