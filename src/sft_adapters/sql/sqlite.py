"""
SQLite: one file, one writer at a time, durable to the last commit.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import Final

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from sft_adapters.sql.transactions import is_read_only
from sft_core.errors import ConfigurationError

_WAL_RESET_FIXED: Final = (3, 51, 3)
_PRAGMAS: Final = (
    *("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF", "mmap_size=0"),
    "secure_delete=ON",
)


def sqlite_is_safe_for_many_writers(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """
    Whether several processes may write one file at once with this version of the library.

    Before 3.51.3 a reset of the write-ahead log could lose pages when processes wrote and
    checkpointed at the same time (sqlite.org/wal.html).
    """
    return version >= _WAL_RESET_FIXED


def open_sqlite(url: URL, *, echo: bool, busy_seconds: float, connections: int) -> Engine:
    """
    An engine for a SQLite file; see `open_engine` for the parameters.
    """
    if url.database in {None, "", ":memory:"} or url.query:
        # Each connection would have a database of its own, or another one than its file's name says.
        raise ConfigurationError("DATABASE_URL: SQLite needs the path of a file, sqlite:///path")
    engine = create_engine(
        url,
        echo=echo,
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_seconds,
        connect_args={"timeout": busy_seconds, "check_same_thread": False, "isolation_level": None},
    )
    event.listen(engine, "do_connect", _make_private)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _make_private(_dialect: Dialect, _record: ConnectionPoolEntry, args: list[str], _options: object) -> None:
    """
    Make a new database's file before SQLite does, which would let everybody read it.

    The log and its index, which SQLite makes beside it, get the same permissions.
    """
    # What cannot be made here SQLite will refuse in a moment, with a reason.
    with contextlib.suppress(OSError):
        os.close(os.open(args[0], os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _prepare(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    """
    Every connection: a durable write-ahead log, enforced references, nothing read from mapped memory.

    What is deleted is overwritten: the key of a file that is gone does not stay on a page that is free.
    """
    for pragma in _PRAGMAS:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def _begin(connection: Connection) -> None:
    """
    A writer takes its place in line at once: one that reads first could never be let to write.
    """
    read_only = is_read_only(connection)
    connection.exec_driver_sql(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
