"""
Engines: made after the fork, tuned for promises. What is committed survives a power cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, RootTransaction, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from sft_adapters.sql.errors import translated
from sft_core.errors import ConfigurationError

_READ_ONLY: Final = "sft_read_only"

_WAL_RESET_FIXED: Final = (3, 51, 3)


def sqlite_is_safe_for_many_writers(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """
    Whether several processes may write one file at once with this version of the library.

    Before 3.51.3 a reset of the write-ahead log could lose pages when processes wrote and
    checkpointed at the same time (sqlite.org/wal.html).
    """
    return version >= _WAL_RESET_FIXED


def open_engine(url: str, *, echo: bool = False, busy_seconds: float = 10.0, connections: int = 16) -> Engine:
    """
    An engine for a database URL; `ConfigurationError` names what is wrong with it.

    A caller waits `busy_seconds` for a connection, and a writer as long for another to finish.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError("DATABASE_URL is not a database URL") from None
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise ConfigurationError("DATABASE_URL: this version supports SQLite only")
    engine = create_engine(
        parsed,
        echo=echo,
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_seconds,
        connect_args={"timeout": busy_seconds, "check_same_thread": False, "isolation_level": None},
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    """
    Every connection: a durable write-ahead log, enforced references, nothing read from mapped memory.
    """
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF", "mmap_size=0"):
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def _begin(connection: Connection) -> None:
    """
    A writer takes its place in line at once: one that reads first could never be let to write.
    """
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def transaction(engine: Engine, *, read_only: bool = False) -> Iterator[tuple[Connection, RootTransaction]]:
    """
    One connection with one transaction, which is undone unless it is committed inside the block.
    """
    with translated(), engine.connect() as plain:
        connection = plain.execution_options(**{_READ_ONLY: read_only})
        with connection.begin() as begun:
            yield connection, begun
            if begun.is_active:
                begun.rollback()
