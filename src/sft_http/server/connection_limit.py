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
_SPARE: Final = 16
RETRY_SECONDS: Final = 0.05
_BACKLOG: Final = 2048
"""How many connections may wait in the kernel."""


@attrs.frozen
class Room:
    """
    So many connections are served; of `spare` more each is answered "busy", or about its health.
    """

    served: int
    spare: int

    @classmethod
    def of(cls, settings: Settings, *, descriptors: int) -> Room:
        """
        As many as are set, or as a process has descriptors for; `ConfigurationError` if that is none.
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
        room = (descriptors - others) // _PER_CONNECTION
        spare = min(_SPARE, room // 4)
        return cls(min(settings.server.max_connections, room - spare), spare)


class Door(socket.socket):
    """
    A listening socket that lets nobody in while `is_open` says no.
    """

    def __init__(self, listener: socket.socket, is_open: Callable[[], bool], entered: Callable[[], None]) -> None:
        super().__init__(fileno=listener.detach())
        self._is_open = is_open
        self._entered = entered

    def accept(self) -> tuple[socket.socket, Any]:
        """
        Let the next one in; `OSError` as if descriptors had run out while there is no room.

        The event loop then lets `RETRY_SECONDS` pass before it tries again.
        """
        if not self._is_open():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        found = super().accept()
        self._entered()
        return found

    def listen(self, backlog: int = _BACKLOG) -> None:
        """
        Begin to listen; the event loop would have few connections wait.
        """
        super().listen(max(backlog, _BACKLOG))
