"""
PostgreSQL by psycopg 3: a timeout for every wait, no session state.

A pooler in front of the server (PgBouncer in transaction mode) may run each transaction in another
session. So no statement is prepared, no start-up parameter sends options, and a transaction sets
what it needs: `BEGIN` and its `SET LOCAL`s are sent together, in one round trip.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import attrs
import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, Dialect, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sft_adapters.sql.postgres_timeouts import PostgresTimeouts
from sft_adapters.sql.transactions import transaction_options
from sft_core.errors import ConfigurationError

T = TypeVar("T")

_POLL_SECONDS: Final = 0.1
_KEEPALIVES: Final = 3

# Regardless of the server's settings, an acknowledged commit is on its disk (and its standby's): a
# consumed download must not be restored. A stronger setting is kept.
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', true)"
    " WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')"
)


@attrs.frozen
class _Failure:
    """
    A reason for a failed connection; if it is not transient, an operator must act.
    """

    pattern: str
    kind: str
    transient: bool = attrs.field(default=False, kw_only=True)


# Until a connection is established, errors of the server have no SQLSTATE and are recognized by patterns in
# libpq's text. Quoted parts are removed before: the names of hosts, users and databases.
_QUOTED: Final = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
_CONNECT_FAILURES: Final = (
    _Failure("failed to resolve|could not translate host name", "the host name of the server cannot be resolved"),
    _Failure("connection refused|no such file", "no server listens at the address", transient=True),
    _Failure("authentication failed", "the server rejected the user or the password"),
    _Failure("no password supplied", "the server requires a password"),
    _Failure(r"pg_hba\.conf", "the server does not allow this user from this host"),
    _Failure(r"role\s+does not exist", "the server does not have this user"),
    _Failure(r"database\s+does not exist", "the server does not have this database"),
    _Failure("permission denied for database", "this role is not allowed to connect to this database"),
    _Failure("SSL was required", "the server does not support TLS, which sslmode requires"),
    _Failure("received invalid response", "the server at the address is not PostgreSQL"),
    _Failure("certificate|SSL error", "the certificate of the server or of this client was rejected"),
    _Failure("too many|remaining connection slots", "the server has no connection left", transient=True),
    _Failure("starting up|not yet accepting", "the server is starting", transient=True),
    _Failure("shutting down", "the server is stopping", transient=True),
    _Failure("closed the connection unexpectedly", "the server disconnected: is it PostgreSQL?", transient=True),
    _Failure("session is|in hot standby", "the server is not of the kind that target_session_attrs requires"),
    _Failure("invalid", "a parameter has a value that PostgreSQL's client does not accept"),
    _Failure("time.?out|timed out", "the server did not respond in time", transient=True),
    _Failure("", "the server could not be reached", transient=True),
)


class ConnectFailedError(psycopg.OperationalError):
    """
    No connection could be established; `kind` is the reason in this module's words.
    """

    def __init__(self, failure: _Failure) -> None:
        super().__init__(failure.kind)
        self.kind = failure.kind
        self.needs_operator = not failure.transient


class ResponseTimeoutError(psycopg.OperationalError):
    """
    No response to a statement in time; whether it was executed is unknown.
    """

    kind = "the server received a statement and did not respond in time"


class BoundedConnection(psycopg.Connection[Any]):
    """
    A connection that is closed after `response_seconds` without a response.

    The server has its own timeout for statements; this one is for a server or network that hangs.
    """

    response_seconds: float

    def wait(self, gen: PQGen[T], interval: float = _POLL_SECONDS, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.response_seconds if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if error.sqlstate is None and self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.close()
                raise ResponseTimeoutError from None
            raise


def open_postgres(
    create: Callable[..., Engine], url: URL, *, busy_seconds: float, timeouts: PostgresTimeouts
) -> Engine:
    """
    Create an engine for a PostgreSQL database; see `open_engine` for the parameters.

    The query of the URL (`sslmode`, `connect_timeout`, …) takes precedence over the values set here.
    """
    engine = create(
        url.set(drivername="postgresql+psycopg", query={}),
        pool_pre_ping=True,
        pool_recycle=timeouts.recycle_seconds,
        use_native_hstore=False,
        connect_args=_connect_args(timeouts) | _query(url) | {"autocommit": True, "prepare_threshold": None},
    )
    events = _ConnectionEvents(timeouts, busy_seconds)
    event.listen(engine, "do_connect", events.connect)
    event.listen(engine, "checkin", events.reset)
    event.listen(engine, "begin", events.begin)
    return engine


def _connect_args(timeouts: PostgresTimeouts) -> dict[str, Any]:
    # Parameters of libpq (PostgreSQL's documentation, section 34.1.2).
    return {
        "application_name": "sft",
        "client_encoding": "utf8",
        "connect_timeout": timeouts.connect_seconds,
        "keepalives_idle": timeouts.tcp_timeout_seconds,
        "keepalives_interval": max(1, timeouts.tcp_timeout_seconds // _KEEPALIVES),
        "keepalives_count": _KEEPALIVES,
        "tcp_user_timeout": timeouts.tcp_timeout_seconds * 1000,
    }


def _query(url: URL) -> dict[str, str]:
    # They may contain secrets, so they are removed from the URL, and no error quotes them.
    query = {name: value if isinstance(value, str) else ",".join(value) for name, value in url.query.items()}
    try:
        make_conninfo("", **query)
    except psycopg.Error:
        raise ConfigurationError("DATABASE_URL contains a parameter that PostgreSQL's client does not have") from None
    if not re.fullmatch(r"[0-9]{0,5}", query.get("connect_timeout", "")):
        raise ConfigurationError("DATABASE_URL contains a connect_timeout that is not an integer number of seconds")
    return query


@attrs.frozen
class _ConnectionEvents:
    """
    Event handlers of connections: creation, start of a transaction, return to the pool.

    For the driver, connections are in autocommit mode: transactions are started here, together with
    their timeouts, and ended by the driver's `commit` and `rollback`, which read the state from libpq.
    """

    timeouts: PostgresTimeouts
    busy_seconds: float

    def connect(
        self, _dialect: Dialect, _record: ConnectionPoolEntry, args: list[Any], parameters: dict[str, Any]
    ) -> BoundedConnection:
        try:
            connection = BoundedConnection.connect(*args, **parameters)
        except psycopg.Error as error:
            raise ConnectFailedError(_classify(error)) from None
        connection.response_seconds = self.timeouts.connect_seconds
        return connection

    def reset(self, connection: DBAPIConnection | None, _record: ConnectionPoolEntry) -> None:
        if connection is not None:
            cast("BoundedConnection", connection).response_seconds = self.timeouts.connect_seconds

    def begin(self, connection: Connection) -> None:
        read_only, seconds = transaction_options(connection)
        statement_seconds = seconds or self.timeouts.statement_seconds
        driver = cast("BoundedConnection", connection.connection.driver_connection)
        driver.response_seconds = statement_seconds + self.timeouts.response_grace_seconds
        # Writers see the commits of others, so that the second of two conditional updates finds what the
        # first one wrote. They do not request READ WRITE: a database frozen by an administrator
        # (`default_transaction_read_only`) must stay read-only.
        if read_only:
            statements = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]
        else:
            statements = ["BEGIN ISOLATION LEVEL READ COMMITTED", _DURABLE]
        statements[1:1] = [
            f"SET LOCAL statement_timeout = {_milliseconds(statement_seconds)}",
            f"SET LOCAL lock_timeout = {_milliseconds(seconds or self.busy_seconds)}",
            f"SET LOCAL idle_in_transaction_session_timeout = {_milliseconds(self.timeouts.idle_seconds)}",
        ]
        connection.exec_driver_sql("; ".join(statements))


def _milliseconds(seconds: float) -> int:
    # 0 would mean no timeout.
    return max(1, round(seconds * 1000))


def _classify(error: psycopg.Error) -> _Failure:
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return _Failure("", "the server did not respond in time", transient=True)
    if error.pgconn is not None and error.pgconn.needs_password:
        return _Failure("", "the server requires a password")
    text = _QUOTED.sub("", str(error))
    return next(failure for failure in _CONNECT_FAILURES if re.search(failure.pattern, text, re.IGNORECASE))
