"""
Transactions: one connection each, with the same guarantees on every database.
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
    Open a connection with one transaction, rolled back unless it is committed in the block.

    `seconds` replace the engine's timeouts of a statement and of a lock, for long work such as
    migrations. SQLite has one timeout for everything, which is not changed.
    """
    with translated(), engine.connect() as plain:
        connection = plain.execution_options(**{_READ_ONLY: read_only, _SECONDS: seconds})
        with connection.begin() as begun:
            yield connection, begun
            if begun.is_active:
                begun.rollback()


def is_read_only(connection: Connection) -> bool:
    """
    Return whether the transaction that starts on this connection is read-only.
    """
    return bool(connection.get_execution_options().get(_READ_ONLY, False))


def seconds_allowed(connection: Connection) -> float | None:
    """
    Return the statement timeout that the starting transaction overrides, or None.
    """
    allowed: float | None = connection.get_execution_options().get(_SECONDS)
    return allowed


def keep_whole(engine: Engine) -> None:
    """
    Forbid a commit after a failed statement, and roll back open transactions.

    PostgreSQL answers a COMMIT after a failed statement with a rollback and no error, which would
    look like success; SQLite would commit the other statements. A COMMIT that SQLite rejects leaves
    the transaction open for the next user of the connection.
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
    # Both drivers check whether a transaction is open, and do nothing if not.
    connection.rollback()
