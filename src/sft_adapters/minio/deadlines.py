"""
HTTP connections whose every blocking socket operation ends by the deadline of the current call.

A socket's own timeout restarts with every byte, so a server that sends one byte at a time could occupy a thread
forever. Here each operation (connect, send, receive) is also bounded by the time that remains for the call.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from urllib3 import HTTPConnectionPool

_BUFFER_BYTES: Final = 64 << 10


class Deadlines(threading.local):
    """
    The deadline of each thread's current call, and the timeout of a single socket operation.

    In seconds: `wait_seconds` bounds each operation, `call_seconds` the whole call from its start. Outside a call only
    `wait_seconds` applies.
    """

    _end: float | None = None

    def __init__(self, *, wait_seconds: float, call_seconds: float) -> None:
        self.wait_seconds = wait_seconds
        self.call_seconds = call_seconds

    @contextmanager
    def call(self) -> Iterator[None]:
        """
        Set the deadline of the block.

        A nested block has its own deadline, after which the outer one applies again.
        """
        outer, self._end = self._end, time.monotonic() + self.call_seconds
        try:
            yield
        finally:
            self._end = outer

    def remaining(self, max_seconds: float | None = None) -> float:
        """
        Return the timeout of the next operation in seconds; raise `TimeoutError` after the deadline.
        """
        max_seconds = self.wait_seconds if max_seconds is None else max_seconds
        if self._end is None:
            return max_seconds
        remaining = self._end - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the time of the call has expired")
        return min(max_seconds, remaining)


class _DeadlineReader(io.RawIOBase):
    """
    A raw reader of a socket; each read is bounded by the deadline.
    """

    def __init__(self, raw_socket: socket.socket, deadlines: Deadlines) -> None:
        super().__init__()
        self._socket = raw_socket
        self._raw = raw_socket.makefile("rb", buffering=0)
        self._deadlines = deadlines

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 (any writable buffer)
        self._socket.settimeout(self._deadlines.remaining())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineSocket:
    """
    The socket interface that an HTTP connection uses; each operation is bounded by the deadline.
    """

    def __init__(self, raw_socket: socket.socket, deadlines: Deadlines) -> None:
        self._socket = raw_socket
        self._deadlines = deadlines

    def sendall(self, data: bytes | memoryview) -> None:
        self._socket.settimeout(self._deadlines.remaining())
        self._socket.sendall(data)

    def makefile(self, _mode: str = "rb") -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._socket, self._deadlines), _BUFFER_BYTES)

    def settimeout(self, _seconds: float | None) -> None:
        """
        Do nothing: each wait sets its own timeout.
        """

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()


def enforce_deadlines(pool: HTTPConnectionPool, deadlines: Deadlines) -> None:
    """
    Bound every connection that this pool opens by the deadlines.
    """
    base: Any = pool.ConnectionCls

    class Connection(base):  # type: ignore[misc]  # for a plain pool or one with TLS
        def connect(self) -> None:
            super().connect()
            self.sock: Any = _DeadlineSocket(self.sock, deadlines)

    pool.ConnectionCls = Connection
