"""
The limit of connections of a worker, within the file descriptors of its process.

A process without free descriptors fails in the middle of requests. So a worker accepts fewer connections than it has
descriptors for. On a few connections beyond the limit every request but `/health` receives the error "busy". Further
ones wait in the listen backlog until another connection ends.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any, Final

import attrs

from sft_adapters.settings import Settings
from sft_core.errors import ConfigurationError

_BASE: Final = 32
"""Descriptors of the process itself: its log, its event loop, its listening sockets, its libraries."""
_PER_CONNECTION: Final = 2
"""The connection's socket and the handle by which threads send."""
_PER_THREAD: Final = 2
"""A blob that is read or written, and its directory."""
_PER_DATABASE_CONNECTION: Final = 3
"""A SQLite database, its write-ahead log and its shared index; other databases need one."""
_RESERVE: Final = 16
RETRY_SECONDS: Final = 0.05
_BACKLOG: Final = 2048
"""How many connections may wait in the kernel to be accepted."""


@attrs.frozen
class ConnectionLimits:
    """
    A worker serves `max_connections`; on `reserve` more it answers "busy", except to `/health`.
    """

    max_connections: int
    reserve: int

    @classmethod
    def from_settings(cls, settings: Settings, *, descriptors: int) -> ConnectionLimits:
        """
        Return the configured limit, or what `descriptors` allow if that is less.

        Raises `ConfigurationError` if the descriptors allow fewer than four connections.
        """
        threads = settings.server.control_threads + settings.server.transfer_threads + settings.hashing.concurrency + 1
        others = _BASE + _PER_THREAD * settings.server.transfer_threads
        others += _PER_DATABASE_CONNECTION * min(settings.database.connections, threads)
        others += settings.s3.connections if settings.blob_store_kind == "s3" else 0
        others += settings.redis.connections if settings.redis.url else 0
        needed = others + 4 * _PER_CONNECTION
        if descriptors < needed:
            raise ConfigurationError(
                f"a process may open {descriptors} files here (`ulimit -n`), and a worker needs {needed} at least"
            )
        available = (descriptors - others) // _PER_CONNECTION
        reserve = min(_RESERVE, available // 4)
        return cls(min(settings.server.max_connections, available - reserve), reserve)


class ThrottledListener(socket.socket):
    """
    A listening socket that accepts no connection while `has_capacity` returns False.
    """

    def __init__(
        self, listener: socket.socket, has_capacity: Callable[[], bool], on_accept: Callable[[], None]
    ) -> None:
        super().__init__(fileno=listener.detach())
        self._has_capacity = has_capacity
        self._on_accept = on_accept

    def accept(self) -> tuple[socket.socket, Any]:
        """
        Accept a connection; without capacity raise `OSError` (EMFILE).

        The event loop answers this error by its own pause, and accepts again after it (`RETRY_SECONDS`).
        """
        if not self._has_capacity():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        found = super().accept()
        self._on_accept()
        return found

    def listen(self, backlog: int = _BACKLOG) -> None:
        """
        Listen with a backlog of at least `_BACKLOG`; the event loop passes a smaller one.
        """
        super().listen(max(backlog, _BACKLOG))
