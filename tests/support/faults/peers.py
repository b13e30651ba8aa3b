"""
Peers between a client and its server, or in the server's place, that send nonsense, disconnect and count.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import attrs

Reply = Callable[[bytes], bytes | None]


@attrs.define
class Peer:
    """
    Responds to each request by a function of it; None, `cuts_after_reply` and `is_down` close the connection.
    """

    answer: Reply
    cuts_after_reply: Callable[[], bool] = bool
    port: int = 0
    requests: int = 0
    is_down: bool = False
    _open: list[socket.socket] = attrs.field(factory=list, init=False)

    def serve(self, listener: socket.socket) -> None:
        """
        Accept connections until the listener is closed.
        """
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def disconnect_all(self) -> None:
        """
        Close every connection, and every new one at once.
        """
        self.is_down = True
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve_connection(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while not self.is_down and (request := connection.recv(65536)):
                self.requests += 1
                reply = self.answer(request)
                if reply is None:
                    return
                connection.sendall(reply)
                if self.cuts_after_reply():
                    return


@contextmanager
def peer(answer: Reply, *, cuts_after_reply: Callable[[], bool] = bool) -> Iterator[Peer]:
    """
    Run a peer on a free loopback port; `cuts_after_reply` decides whether it disconnects after a reply.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Peer(answer, cuts_after_reply, port=listener.getsockname()[1])
        thread = threading.Thread(target=made.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            made.disconnect_all()


def forward_to(port: int) -> Callable[[bytes], bytes]:
    """
    Return a function that forwards each request on a new connection; a reply has to fit one read.
    """

    def answer(request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request)
            return connection.recv(65536)

    return answer
