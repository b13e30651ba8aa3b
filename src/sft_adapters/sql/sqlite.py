"""
SQLite: one file, one writer at a time, durable up to the last commit.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from typing import Final

from sqlalchemy import URL, Connection, Dialect, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sft_adapters.sql.transactions import transaction_options
from sft_core.errors import ConfigurationError

_WAL_RESET_FIXED: Final = (3, 51, 3)
# A durable write-ahead log, enforced foreign keys, no memory-mapped reads. Deleted data is overwritten, so that the
# key of a deleted file does not remain on a free page.
_PRAGMAS: Final = (
    *("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF", "mmap_size=0"),
    "secure_delete=ON",
)


def sqlite_is_safe_for_many_writers(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """
    Return whether this version of SQLite allows several writing processes.

    Before 3.51.3 a reset of the write-ahead log could lose pages when processes wrote and
    checkpointed at the same time (sqlite.org/wal.html).
    """
    return version >= _WAL_RESET_FIXED


def open_sqlite(create: Callable[..., Engine], url: URL, *, busy_seconds: float) -> Engine:
    """
    Create an engine for a SQLite file; see `open_engine` for the parameters.
    """
    if url.database in {None, "", ":memory:"} or url.query:
        # Without a path each connection would get its own database; a query could select another file.
        raise ConfigurationError("DATABASE_URL: SQLite needs the path of a file, sqlite:///path")
    options = {"timeout": busy_seconds, "check_same_thread": False, "isolation_level": None}
    engine = create(url, connect_args=options)
    event.listen(engine, "do_connect", _create_private_file)
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _create_private_file(_dialect: Dialect, _record: ConnectionPoolEntry, args: list[str], _options: object) -> None:
    # With mode 0600: SQLite would make it readable by all users. It gives the same permissions to the log and its
    # index, which it creates beside the file. If the file cannot be created, SQLite reports why when it opens it.
    with contextlib.suppress(OSError):
        os.close(os.open(args[0], os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _set_pragmas(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    for pragma in _PRAGMAS:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def _begin(connection: Connection) -> None:
    # A writer locks at once, because an upgrade from a read lock could fail.
    read_only, _ = transaction_options(connection)
    connection.exec_driver_sql(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
