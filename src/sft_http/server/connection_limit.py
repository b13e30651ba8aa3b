"""
How many connections a worker lets in, and what becomes of the others.

A process that runs out of file descriptors breaks off what it has begun. So the door closes before:
those beyond the limit are told to come again, all but who asks for `/health`, and those beyond the
few places there are for that wait in the kernel until somebody leaves.
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
"""Descriptors of a process itself: its log, its loop, its listening sockets, its libraries."""
_PER_CONNECTION: Final = 2
"""The connection's socket and the handle that threads have of it."""
_PER_THREAD: Final = 2
"""A blob that is read or written, and its folder."""
_PER_DATABASE_CONNECTION: Final = 3
"""A SQLite database, its log and its index; others have one."""
_RESERVE: Final = 16
RETRY_SECONDS: Final = 0.05
_BACKLOG: Final = 2048
"""How many connections may wait in the kernel."""


@attrs.frozen
class ConnectionLimits:
    """
    So many connections are served; of `reserve` more each is answered "busy", or about its health.
    """

    max_connections: int
    reserve: int

    @classmethod
    def from_settings(cls, settings: Settings, *, descriptors: int) -> ConnectionLimits:
        """
        As many as are set, or as a process has descriptors for; `ConfigurationError` if that is none.
        """
        threads = settings.control_threads + settings.transfer_threads + settings.hash_concurrency + 1
        others = _BASE + _PER_THREAD * settings.transfer_threads
        others += _PER_DATABASE_CONNECTION * min(settings.database_connections, threads)
        others += settings.minio_connections if settings.blob_store_kind == "s3" else 0
        others += settings.redis_connections if settings.redis_url else 0
        needed = others + 4 * _PER_CONNECTION
        if descriptors < needed:
            raise ConfigurationError(
                f"a process may open {descriptors} files here (`ulimit -n`), and a worker needs {needed} at least"
            )
        available = (descriptors - others) // _PER_CONNECTION
        reserve = min(_RESERVE, available // 4)
        return cls(min(settings.max_connections, available - reserve), reserve)


class ThrottledListener(socket.socket):
    """
    A listening socket that lets nobody in while `has_capacity` says no.
    """

    def __init__(
        self, listener: socket.socket, has_capacity: Callable[[], bool], on_accept: Callable[[], None]
    ) -> None:
        super().__init__(fileno=listener.detach())
        self._has_capacity = has_capacity
        self._on_accept = on_accept

    def accept(self) -> tuple[socket.socket, Any]:
        """
        Let the next one in; `OSError` as if descriptors had run out while there is no room.

        The event loop then lets `RETRY_SECONDS` pass before it tries again.
        """
        if not self._has_capacity():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        found = super().accept()
        self._on_accept()
        return found

    def listen(self, backlog: int = _BACKLOG) -> None:
        """
        Begin to listen; the event loop would have few connections wait.
        """
        super().listen(max(backlog, _BACKLOG))
