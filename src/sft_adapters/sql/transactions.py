"""
Transactions: one connection, one transaction, the same promise on every database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, RootTransaction, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState

from sft_adapters.sql.errors import translated
from sft_core.errors import DatabaseUnavailable

_READ_ONLY: Final = "sft_read_only"
_SECONDS: Final = "sft_seconds"
_FAILED: Final = "sft_failed"


@contextmanager
def transaction(
    engine: Engine, *, read_only: bool = False, seconds: float | None = None
) -> Iterator[tuple[Connection, RootTransaction]]:
    """
    One connection with one transaction, which is undone unless it is committed inside the block.

    `seconds` stand in for what the engine allows a statement and a wait for a lock: for work that
    is known to take long, such as migrations. SQLite has one wait for everything and keeps it.
    """
    with translated(), engine.connect() as plain:
        connection = plain.execution_options(**{_READ_ONLY: read_only, _SECONDS: seconds})
        with connection.begin() as begun:
            yield connection, begun
            if begun.is_active:
                begun.rollback()


def is_read_only(connection: Connection) -> bool:
    """
    Whether the transaction that begins on this connection may change nothing.
    """
    return bool(connection.get_execution_options().get(_READ_ONLY, False))


def seconds_allowed(connection: Connection) -> float | None:
    """
    How long a statement may take in the transaction that begins, if it asked for a time of its own.
    """
    allowed: float | None = connection.get_execution_options().get(_SECONDS)
    return allowed


def keep_whole(engine: Engine) -> None:
    """
    Let no transaction commit in which a statement failed, and none outlast its block.

    PostgreSQL answers a COMMIT after a failure with a rollback and no error, which would look like
    success; SQLite would commit the rest. And a COMMIT that SQLite refuses leaves the transaction
    open, where the next one on this connection would find it.
    """
    event.listen(engine, "begin", _begins)
    event.listen(engine, "handle_error", _fails)
    event.listen(engine, "commit", _commits)
    event.listen(engine, "reset", _goes_back)


def _begins(connection: Connection) -> None:
    connection.info.pop(_FAILED, None)


def _fails(context: ExceptionContext) -> None:
    if context.connection is not None:
        context.connection.info[_FAILED] = True


def _commits(connection: Connection) -> None:
    if connection.info.get(_FAILED):
        raise DatabaseUnavailable("a statement of this transaction failed, so it cannot be committed")


def _goes_back(connection: DBAPIConnection, _record: ConnectionPoolEntry, _state: PoolResetState) -> None:
    # Both drivers know whether there is a transaction, and do nothing if there is none.
    connection.rollback()
