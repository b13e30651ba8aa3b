"""
Engines: one per database URL, created after the fork; commits survive a power cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from sft_adapters.sql.postgres_timeouts import PostgresTimeouts
from sft_adapters.sql.sqlite import open_sqlite, sqlite_is_safe_for_many_writers
from sft_adapters.sql.transactions import forbid_commit_after_error
from sft_core.errors import ConfigurationError

__all__ = [
    "Engine",
    "PostgresTimeouts",
    "describe_database",
    "open_engine",
    "sqlite_file",
    "sqlite_is_safe_for_many_writers",
    "temporary_engine",
]

_SQLITE: Final = frozenset({"sqlite", "sqlite+pysqlite"})
_POSTGRES: Final = frozenset({"postgresql", "postgres", "postgresql+psycopg"})


def open_engine(
    url: str,
    *,
    echo: bool = False,
    busy_seconds: float = 10.0,
    connections: int = 16,
    timeouts: PostgresTimeouts | None = None,
) -> Engine:
    """
    Create an engine for a SQLite or PostgreSQL URL; nothing is connected yet.

    A caller waits up to `busy_seconds` for one of at most `connections` connections, and a change as
    long for a lock that another transaction holds. `timeouts` are PostgreSQL's timeouts.

    Raises `ConfigurationError` if the URL is malformed, its kind of database or a parameter is not supported, or the
    driver is not installed. The error does not quote the URL, which may contain a password.
    """
    parsed = _parsed(url)
    pool = {"pool_size": connections, "max_overflow": 0, "pool_timeout": busy_seconds}
    create = partial(create_engine, echo=echo, hide_parameters=True, poolclass=QueuePool, **pool)
    if parsed.drivername in _SQLITE:
        engine = open_sqlite(create, parsed, busy_seconds=busy_seconds)
    else:
        try:
            from sft_adapters.sql.postgres import open_postgres  # noqa: PLC0415 (its driver is an extra)
        except ImportError:
            raise ConfigurationError(
                "DATABASE_URL names a PostgreSQL database, but its driver is missing: install the extra `postgres`"
            ) from None
        timeouts = timeouts or PostgresTimeouts()
        engine = open_postgres(create, parsed, busy_seconds=busy_seconds, timeouts=timeouts)
    forbid_commit_after_error(engine)
    return engine


@contextmanager
def temporary_engine(url: str, *, busy_seconds: float) -> Iterator[Engine]:
    """
    Create an engine and close its connections at the end of the block.
    """
    engine = open_engine(url, busy_seconds=busy_seconds)
    try:
        yield engine
    finally:
        engine.dispose()


def describe_database(url: str) -> str:
    """
    Describe a database for operators, without its secrets.
    """
    parsed = _parsed(url)
    if parsed.drivername in _SQLITE:
        return f"{parsed.database} (SQLite {sqlite3.sqlite_version})"
    host, port = parsed.host or "a local socket", f":{parsed.port}" if parsed.port else ""
    return f"PostgreSQL {parsed.database} at {host}{port}"


def sqlite_file(url: str) -> Path | None:
    """
    Return the file of a SQLite database; None for another database. Raises as `open_engine` does.
    """
    parsed = _parsed(url)
    return Path(parsed.database or "") if parsed.drivername in _SQLITE else None


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError("DATABASE_URL is not a database URL") from None
    if parsed.drivername not in _SQLITE | _POSTGRES:
        raise ConfigurationError(
            f"DATABASE_URL: {parsed.drivername} is not supported; use sqlite:///path or postgresql://host/name"
        )
    return parsed
