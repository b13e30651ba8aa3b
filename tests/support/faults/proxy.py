"""
A relay between a client and a server with network faults: it closes, stalls, delays and loses.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto

import attrs

PIECE = 1 << 16


class Loss(Enum):
    """
    What happens to the one request that the relay waits for; both ends then lose the connection.
    """

    REQUEST = auto()
    """The request does not reach the server."""

    ANSWER = auto()
    """The server handles the request, and its response does not reach the client."""


@attrs.define(eq=False)
class _Link:
    """
    A client's connection and the relay's connection to the server.
    """

    client: socket.socket
    server: socket.socket
    loses_answer: bool = False

    def cut(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.client.close()
        self.server.close()


@attrs.define(eq=False)
class Proxy:
    """
    A relay on a loopback port; `delay_seconds` delays every piece in both directions.

    `requests` counts the pieces that clients sent: the round trips of a client that waits for each response.
    """

    target: tuple[str, int]
    delay_seconds: float = 0.0
    requests: int = 0
    _listener: socket.socket = attrs.field(init=False)
    _links: set[_Link] = attrs.field(factory=set, init=False)
    _threads: list[threading.Thread] = attrs.field(factory=list, init=False)
    _flowing: threading.Event = attrs.field(factory=threading.Event, init=False)
    _awaited: tuple[bytes, Loss, int] | None = attrs.field(default=None, init=False)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def lose(self, request: bytes, loss: Loss, *, after: int = 0) -> None:
        """
        Lose the connection of the next piece that contains these bytes, after letting this many such pieces pass.
        """
        self._awaited = (request, loss, after)

    @property
    def has_triggered(self) -> bool:
        """
        Whether the piece to be lost was received and lost.
        """
        return self._awaited is None

    def cut(self) -> None:
        """
        Close every connection; new ones are forwarded.
        """
        for link in list(self._links):
            link.cut()

    def stall(self) -> None:
        """
        Forward nothing in either direction, while every connection stays open.
        """
        self._flowing.clear()

    def resume(self) -> None:
        """
        Forward waiting and further pieces again.
        """
        self._flowing.set()

    def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._flowing.set()
        self._spawn(self._accept)

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.resume()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _spawn(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._spawn(self._relay, client)

    def _relay(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.target)
        except OSError:
            client.close()
            return
        link = _Link(client, server)
        self._links.add(link)
        back = self._spawn(self._pump, link, server, client)
        self._pump(link, client, server)
        back.join()
        self._links.discard(link)
        link.close()

    def _pump(self, link: _Link, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                time.sleep(self.delay_seconds)
                self._flowing.wait()
                if self._is_lost(link, piece, is_request=source is link.client):
                    break
                sink.sendall(piece)
        link.cut()

    def _is_lost(self, link: _Link, piece: bytes, *, is_request: bool) -> bool:
        if not is_request:
            return link.loses_answer
        self.requests += 1
        if self._awaited is None or self._awaited[0] not in piece:
            return False
        request, loss, after = self._awaited
        if after:
            self._awaited = request, loss, after - 1
            return False
        self._awaited = None
        link.loses_answer = loss is Loss.ANSWER
        return loss is Loss.REQUEST


@contextmanager
def relay(host: str, port: int) -> Iterator[Proxy]:
    """
    Run a relay to a server for the block.
    """
    proxy = Proxy((host, port))
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
