"""
PostgreSQL by psycopg 3: a timeout for every wait, no session state.

A pooler in front of the server (PgBouncer in transaction mode) may run each transaction in another
session. So no statement is prepared, no start-up parameter sends options, and a transaction sets
what it needs: `BEGIN` and its `SET LOCAL`s are sent together, in one round trip.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar, cast

import attrs
import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sft_adapters.sql.postgres_timeouts import PostgresLimits
from sft_adapters.sql.transactions import is_read_only, seconds_allowed
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
class _Refusal:
    """
    A reason for a failed connection and its pattern in libpq's text.

    `must_be_mended` means that an operator must act.
    """

    words: re.Pattern[str]
    kind: str
    must_be_mended: bool = True


def _refusal_by(words: str, kind: str, *, passes: bool = False) -> _Refusal:
    return _Refusal(re.compile(words, flags=re.IGNORECASE), kind, must_be_mended=not passes)


# Until a connection is established, errors of the server have no SQLSTATE and are recognized by their
# text. Quoted parts are removed before: the names of hosts, users and databases.
_QUOTED: Final = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
_REFUSALS: Final = (
    _refusal_by("failed to resolve|could not translate host name", "the host name of the server cannot be resolved"),
    _refusal_by("connection refused|no such file", "no server listens at the address", passes=True),
    _refusal_by("authentication failed", "the server rejected the user or the password"),
    _refusal_by("no password supplied", "the server requires a password"),
    _refusal_by(r"pg_hba\.conf", "the server does not allow this user from this host"),
    _refusal_by(r"role\s+does not exist", "the server does not have this user"),
    _refusal_by(r"database\s+does not exist", "the server does not have this database"),
    _refusal_by("permission denied for database", "this role is not allowed to connect to this database"),
    _refusal_by("SSL was required", "the server does not support TLS, which sslmode requires"),
    _refusal_by("received invalid response", "the server at the address is not PostgreSQL"),
    _refusal_by("certificate|SSL error", "the certificate of the server or of this client was rejected"),
    _refusal_by("too many|remaining connection slots", "the server has no connection left", passes=True),
    _refusal_by("starting up|not yet accepting", "the server is starting", passes=True),
    _refusal_by("shutting down", "the server is stopping", passes=True),
    _refusal_by("closed the connection unexpectedly", "the server disconnected: is it PostgreSQL?", passes=True),
    _refusal_by("session is|in hot standby", "the server is not of the kind that target_session_attrs requires"),
    _refusal_by("invalid", "a parameter has a value that PostgreSQL's client does not accept"),
    _refusal_by("time.?out|timed out", "the server did not respond in time", passes=True),
)
_OTHER: Final = _refusal_by("", "the server could not be reached", passes=True)
_NO_PASSWORD: Final = _refusal_by("", "the server requires a password")
_TOO_LATE: Final = _refusal_by("", "the server did not respond in time", passes=True)


class NotConnectedError(psycopg.OperationalError):
    """
    No connection could be established; `kind` is the reason in this module's words.
    """

    def __init__(self, kind: str, *, must_be_mended: bool) -> None:
        super().__init__(kind)
        self.kind = kind
        self.must_be_mended = must_be_mended


class NoAnswerError(psycopg.OperationalError):
    """
    The server received a statement and did not respond in time.

    Whether it was executed is unknown.
    """

    kind = "the server received a statement and did not respond in time"


class BoundedConnection(psycopg.Connection[Any]):
    """
    A connection that is closed after `answer_seconds` without a response.

    The server has its own timeout for statements; this one is for a server or network that hangs.
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
    Create an engine for a PostgreSQL database; see `open_engine` for the parameters.

    The query of the URL (`sslmode`, `connect_timeout`, …) takes precedence over the values set here.
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
    Return parameters of libpq (PostgreSQL's documentation, section 34.1.2).
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
    Return the parameters in a URL's query.

    They may contain secrets, so they are removed from the URL, and no error quotes them.

    Raises:
        ConfigurationError: A parameter is unknown to libpq, or `connect_timeout` is not an integer.
    """
    query = {name: value if isinstance(value, str) else ",".join(value) for name, value in url.query.items()}
    try:
        make_conninfo("", **query)
    except psycopg.Error:
        raise ConfigurationError("DATABASE_URL contains a parameter that PostgreSQL's client does not have") from None
    if not re.fullmatch(r"[0-9]{0,5}", query.get("connect_timeout", "")):
        raise ConfigurationError("DATABASE_URL contains a connect_timeout that is not an integer number of seconds")
    return query


@attrs.frozen
class _Sessions:
    """
    Event handlers of connections: creation, start of a transaction, return to the pool.

    For the driver, connections are in autocommit mode: transactions are started here, together with
    their timeouts, and ended by the driver's `commit` and `rollback`, which read the state from libpq.
    """

    limits: PostgresLimits
    busy_seconds: float

    def connect(
        self, _dialect: Dialect, _record: ConnectionPoolEntry, args: list[Any], parameters: dict[str, Any]
    ) -> BoundedConnection:
        try:
            connection = BoundedConnection.connect(*args, **parameters)
        except psycopg.Error as error:
            found = _refusal(error)
            raise NotConnectedError(found.kind, must_be_mended=found.must_be_mended) from None
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
        # Writers see the commits of others, so that the second of two conditional updates finds what the
        # first one wrote. They do not request READ WRITE: a database frozen by an administrator
        # (`default_transaction_read_only`) must stay read-only.
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
    # 0 would mean no timeout.
    return max(1, round(seconds * 1000))


def _refusal(error: psycopg.Error) -> _Refusal:
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return _TOO_LATE
    if error.pgconn is not None and error.pgconn.needs_password:
        return _NO_PASSWORD
    text = _QUOTED.sub("", str(error))
    return next((refusal for refusal in _REFUSALS if refusal.words.search(text)), _OTHER)
