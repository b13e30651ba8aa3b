"""
Peers between a client and its server, or in the server's place: to answer nonsense, to cut, to count.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import attrs

Answer = Callable[[bytes], bytes | None]


@attrs.define
class Peer:
    """
    Answers each request by a function of it; None, `then_cut` after a reply, and going `away` cut the connection.
    """

    answer: Answer
    then_cut: Callable[[], bool] = bool
    port: int = 0
    requests: int = 0
    away: bool = False
    _open: list[socket.socket] = attrs.field(factory=list, init=False)

    def serve(self, listener: socket.socket) -> None:
        """
        Take connections until the listener is closed.
        """
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def leave(self) -> None:
        """
        Cut every connection, and every new one at once.
        """
        self.away = True
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while not self.away and (request := connection.recv(65536)):
                self.requests += 1
                reply = self.answer(request)
                if reply is None:
                    return
                connection.sendall(reply)
                if self.then_cut():
                    return


@contextmanager
def peer(answer: Answer, *, then_cut: Callable[[], bool] = bool) -> Iterator[Peer]:
    """
    A peer on a free port of the loopback interface; `then_cut` says whether to cut after a reply.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Peer(answer, then_cut, port=listener.getsockname()[1])
        thread = threading.Thread(target=made.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            made.leave()


def server_at(port: int) -> Callable[[bytes], bytes]:
    """
    The answers of a real server, each asked for on a new connection; one must fit one reading.
    """

    def answer(request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request)
            return connection.recv(65536)

    return answer
