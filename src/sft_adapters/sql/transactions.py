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

from sft_adapters.sql.errors import map_database_errors
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
    with map_database_errors(), engine.connect() as plain:
        connection = plain.execution_options(**{_READ_ONLY: read_only, _SECONDS: seconds})
        with connection.begin() as tx:
            yield connection, tx
            if tx.is_active:
                tx.rollback()


@contextmanager
def committing(engine: Engine, *, seconds: float | None = None) -> Iterator[Connection]:
    """
    Open a transaction and commit it after the block; an error rolls it back.
    """
    with transaction(engine, seconds=seconds) as (connection, tx):
        yield connection
        tx.commit()


def transaction_options(connection: Connection) -> tuple[bool, float | None]:
    """
    Return whether the starting transaction is read-only, and its own timeout in seconds, if any.
    """
    options = connection.get_execution_options()
    return bool(options.get(_READ_ONLY, False)), options.get(_SECONDS)


def forbid_commit_after_error(engine: Engine) -> None:
    """
    Forbid a commit after a failed statement, and roll back open transactions.

    PostgreSQL answers a COMMIT after a failed statement with a rollback and no error, which would
    look like success; SQLite would commit the other statements. A COMMIT that SQLite rejects leaves
    the transaction open for the next user of the connection.
    """
    event.listen(engine, "begin", _on_begin)
    event.listen(engine, "handle_error", _on_error)
    event.listen(engine, "commit", _on_commit)
    event.listen(engine, "reset", _on_reset)


def _on_begin(connection: Connection) -> None:
    connection.info.pop(_FAILED, None)


def _on_error(context: ExceptionContext) -> None:
    if context.connection is not None:
        context.connection.info[_FAILED] = True


def _on_commit(connection: Connection) -> None:
    if connection.info.get(_FAILED):
        raise DatabaseUnavailable("a statement of this transaction failed, so it cannot be committed")


def _on_reset(connection: DBAPIConnection, _record: ConnectionPoolEntry, _state: PoolResetState) -> None:
    # Both drivers check whether a transaction is open, and do nothing if not.
    connection.rollback()
