"""
PostgreSQL by psycopg 3: every wait bounded, and nothing kept in a session.

A pooler between us and the server (PgBouncer in transaction mode) may give each transaction
another session. So no statement is prepared, no start-up parameter carries options, and what a
transaction needs is set in it: `BEGIN` and its `SET LOCAL`s go out together, in one round trip.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar, cast

import attrs
import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sft_adapters.sql.limits import PostgresLimits
from sft_adapters.sql.transactions import is_read_only, seconds_allowed
from sft_core.errors import ConfigurationError

T = TypeVar("T")

_POLL_SECONDS: Final = 0.1
_KEEPALIVES: Final = 3

# Whatever the server is set to, a commit that was answered is on its disk (and its standby's): a
# spent download must not come back. A stronger setting is left as it is.
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', true)"
    " WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')"
)

# Before there is a connection the server's errors carry no SQLSTATE, only words.
_REFUSALS: Final = {
    "authentication failed": "the server refused the user or the password",
    "no password supplied": "the server asks for a password",
    "pg_hba.conf": "the server does not admit this user from this host",
    "does not exist": "the server does not have this user or this database",
    "too many": "the server has no connection left",
    "remaining connection slots": "the server has no connection left",
    "starting up": "the server is starting",
    "shutting down": "the server is stopping",
    "not yet accepting": "the server is starting",
    "certificate": "the server's certificate, or ours, was refused",
    "invalid": "a parameter in DATABASE_URL has a value that PostgreSQL's client does not take",
    "refused": "nobody listens at the server's address",
    "timeout": "the server did not answer in time",
}


class NotConnectedError(psycopg.OperationalError):
    """
    No connection could be made; `kind` says why, in our words.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class NoAnswerError(psycopg.OperationalError):
    """
    The server took a statement and gave no answer in time; whether it was done is unknown.
    """


class BoundedConnection(psycopg.Connection[Any]):
    """
    A connection that waits at most `answer_seconds` for an answer, and is closed when none came.

    The server bounds its statements itself; this is for one that hangs, or a network that does.
    """

    answer_seconds: float

    def wait(self, gen: PQGen[T], interval: float = _POLL_SECONDS, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.answer_seconds if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if error.sqlstate is None and self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.close()
                raise NoAnswerError from None
            raise


def open_postgres(url: URL, *, echo: bool, busy_seconds: float, connections: int, limits: PostgresLimits) -> Engine:
    """
    An engine for a PostgreSQL database; see `open_engine` for the parameters.

    What the URL's query says (`sslmode`, `connect_timeout`, …) goes before what is set here.
    """
    engine = create_engine(
        url.set(drivername="postgresql+psycopg", query={}),
        echo=echo,
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_seconds,
        pool_pre_ping=True,
        pool_recycle=limits.recycle_seconds,
        use_native_hstore=False,
        connect_args=_connect_args(limits) | _query(url) | {"autocommit": True, "prepare_threshold": None},
    )
    sessions = _Sessions(limits, busy_seconds)
    event.listen(engine, "do_connect", sessions.connect)
    event.listen(engine, "checkin", sessions.rest)
    event.listen(engine, "begin", sessions.begin)
    return engine


def _connect_args(limits: PostgresLimits) -> dict[str, Any]:
    """
    Parameters of libpq (PostgreSQL's documentation, section 34.1.2).
    """
    return {
        "application_name": "sft",
        "client_encoding": "utf8",
        "connect_timeout": limits.connect_seconds,
        "keepalives_idle": limits.peer_seconds,
        "keepalives_interval": max(1, limits.peer_seconds // _KEEPALIVES),
        "keepalives_count": _KEEPALIVES,
        "tcp_user_timeout": limits.peer_seconds * 1000,
    }


def _query(url: URL) -> dict[str, str]:
    """
    The parameters in a URL's query. They may hold secrets, so they leave the URL, and no error quotes them.
    """
    query = {name: value if isinstance(value, str) else ",".join(value) for name, value in url.query.items()}
    try:
        make_conninfo("", **query)
    except psycopg.Error:
        raise ConfigurationError("DATABASE_URL holds a parameter that PostgreSQL's client does not know") from None
    return query


@attrs.frozen
class _Sessions:
    """
    What happens to a connection when it is made, when a transaction begins and when it goes back.

    Connections are in autocommit mode for the driver: transactions are begun here, in one go with
    their limits, and ended by the driver's `commit` and `rollback`, which ask libpq for the state.
    """

    limits: PostgresLimits
    busy_seconds: float

    def connect(
        self, _dialect: Dialect, _record: ConnectionPoolEntry, args: list[Any], parameters: dict[str, Any]
    ) -> BoundedConnection:
        try:
            connection = BoundedConnection.connect(*args, **parameters)
        except psycopg.OperationalError as error:
            raise NotConnectedError(_refusal(str(error))) from None
        connection.answer_seconds = self.limits.connect_seconds
        return connection

    def rest(self, connection: DBAPIConnection | None, _record: ConnectionPoolEntry) -> None:
        if connection is not None:
            cast("BoundedConnection", connection).answer_seconds = self.limits.connect_seconds

    def begin(self, connection: Connection) -> None:
        seconds = seconds_allowed(connection)
        statement_seconds = seconds or self.limits.statement_seconds
        driver = cast("BoundedConnection", connection.connection.driver_connection)
        driver.answer_seconds = statement_seconds + self.limits.silence_seconds
        # Writers see what others have committed, so that of two conditional updates the second one
        # meets what the first one left. They do not say READ WRITE: an administrator who has
        # frozen the database (`default_transaction_read_only`) is to be obeyed.
        if is_read_only(connection):
            statements = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]
        else:
            statements = ["BEGIN ISOLATION LEVEL READ COMMITTED", _DURABLE]
        statements[1:1] = [
            f"SET LOCAL statement_timeout = {_milliseconds(statement_seconds)}",
            f"SET LOCAL lock_timeout = {_milliseconds(seconds or self.busy_seconds)}",
            f"SET LOCAL idle_in_transaction_session_timeout = {_milliseconds(self.limits.idle_seconds)}",
        ]
        connection.exec_driver_sql("; ".join(statements))


def _milliseconds(seconds: float) -> int:
    # Nought would mean no limit at all.
    return max(1, round(seconds * 1000))


def _refusal(text: str) -> str:
    return next((ours for theirs, ours in _REFUSALS.items() if theirs in text), "the server could not be reached")
