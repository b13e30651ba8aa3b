"""
PostgreSQL only: timeouts, durable commits, and sessions without leftover state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, Engine

from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import PostgresTimeouts, open_engine
from sft_adapters.sql.rate_limiter import SqlRateLimiter
from sft_adapters.sql.sessions import SqlSessions
from sft_adapters.sql.transactions import transaction
from sft_adapters.testkit.contracts.examples import NOW, a_link, a_session, a_user, some_parts, stored_file, stored_user
from sft_core.errors import Conflict, DatabaseUnavailable
from sft_core.users.model import User
from sft_core.values import Rate

LIMITS = PostgresTimeouts(statement_seconds=2.5, idle_seconds=7)


@pytest.fixture
def url(migrated_postgres_url: str) -> str:
    return migrated_postgres_url


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """
    An engine with one connection, so that consecutive units share it.
    """
    engine = open_engine(url, connections=1, busy_seconds=0.4, timeouts=LIMITS)
    yield engine
    engine.dispose()


@pytest.fixture
def database(engine: Engine) -> SqlDatabase:
    return SqlDatabase(engine)


def shown(connection: Connection, *names: str) -> list[str]:
    return [str(connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in names]


def set_for_database(url: str, setting: str, value: str) -> None:
    """
    Change a setting as an administrator does, for every new connection to the database.
    """
    name = sql.Identifier(urlsplit(url).path.removeprefix("/"))
    with psycopg.connect(url, autocommit=True) as admin:
        command = sql.SQL("ALTER DATABASE {} SET {} = {}")
        admin.execute(command.format(name, sql.Identifier(setting), sql.Literal(value)))


@pytest.mark.parametrize(
    ("read_only", "isolation", "refuses"), [(False, "read committed", "off"), (True, "repeatable read", "on")]
)
def test_transaction_sets_its_timeouts_and_isolation(
    engine: Engine, isolation: str, refuses: str, *, read_only: bool
) -> None:
    """Statements, lock waits and idle time are bounded; readers see one snapshot and change nothing."""
    with transaction(engine, read_only=read_only) as (connection, _):
        limits = shown(connection, "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        assert limits == ["2500ms", "400ms", "7s"]
        assert shown(connection, "transaction_isolation", "transaction_read_only") == [isolation, refuses]


def test_read_only_transaction_cannot_write(engine: Engine) -> None:
    """The server refuses every statement that writes."""
    for statement in ("DELETE FROM users", "UPDATE files SET size = 0", "CREATE TABLE t ()", "DROP TABLE users"):
        with pytest.raises(DatabaseUnavailable, match="25006"), transaction(engine, read_only=True) as (connection, _):
            connection.exec_driver_sql(statement)


def test_commit_is_durable_despite_a_weaker_server_setting(url: str, engine: Engine) -> None:
    """A weaker setting is raised for the writer's transaction; a stronger one is kept."""
    found = []
    for configured in ("off", "local", "remote_write", "on", "remote_apply"):
        set_for_database(url, "synchronous_commit", configured)
        engine.dispose()
        with transaction(engine) as (connection, _):
            found += shown(connection, "synchronous_commit")
    assert found == ["on", "on", "on", "on", "remote_apply"]


def use_all_adapters(engine: Engine) -> None:
    """
    Exercise every adapter once, failures included.
    """
    database = SqlDatabase(engine)
    file = stored_file(database, 1, 2, 3)
    session = a_session(stored_user(database))
    SqlSessions(engine).open(session)
    for _ in range(8):
        SqlSessions(engine).get(session.id)
        SqlRateLimiter(engine).acquire("key", Rate(100, timedelta(seconds=100)), now=NOW)
        with database(read_only=True) as unit:
            unit.files.get(file.id)
        with database() as unit:
            unit.links.add(a_link(file))
            unit.commit()
    with pytest.raises(Conflict), database() as unit:
        unit.manifests.append(file.id, some_parts(file, 4, 5))


def test_session_keeps_no_state(url: str, engine: Engine) -> None:
    """A pooler may hand the session to another client, so no setting, lock, statement or listener stays."""
    settings = "SELECT name, setting FROM pg_settings WHERE name <> 'application_name' AND source = 'session'"
    with psycopg.connect(url, client_encoding="utf8") as other:
        fresh = other.execute(settings).fetchall()
    use_all_adapters(engine)
    with engine.connect() as connection:
        session = connection.connection.driver_connection
        assert isinstance(session, psycopg.Connection)
        assert session.execute(settings).fetchall() == fresh
        assert session.execute("SHOW statement_timeout").fetchone() == ("0",)
        for left in (
            "SELECT name FROM pg_prepared_statements",
            "SELECT name FROM pg_cursors",
            "SELECT classid FROM pg_locks WHERE locktype = 'advisory'",
            "SELECT * FROM pg_listening_channels()",
        ):
            assert session.execute(left).fetchall() == []


def test_connection_sends_no_startup_options(engine: Engine) -> None:
    """Poolers refuse start-up options, so every setting is made in the transaction."""
    settings = "SELECT name FROM pg_settings WHERE source = 'client' ORDER BY name"
    with engine.connect() as connection:
        session = connection.connection.driver_connection
        assert isinstance(session, psycopg.Connection)
        assert session.execute(settings).fetchall() == [("application_name",), ("client_encoding",)]
        assert "options" not in session.info.get_parameters()


def test_slow_statement_is_cancelled(engine: Engine) -> None:
    """The server cancels it, the unit fails, and the connection stays usable."""
    engine = open_engine(
        engine.url.render_as_string(hide_password=False),
        timeouts=PostgresTimeouts(statement_seconds=0.1),
        connections=1,
    )
    with pytest.raises(DatabaseUnavailable) as caught, transaction(engine) as (connection, _):
        connection.exec_driver_sql("SELECT pg_sleep(60)")
    assert caught.value.detail == "a statement took too long (57014)"
    stored_user(SqlDatabase(engine))
    engine.dispose()


def test_idle_transaction_is_terminated(engine: Engine) -> None:
    """A transaction that holds locks and is idle is terminated, and none of its changes remain."""
    engine = open_engine(
        engine.url.render_as_string(hide_password=False), timeouts=PostgresTimeouts(idle_seconds=0.1), connections=1
    )
    database, user = SqlDatabase(engine), a_user()
    with database() as unit:
        unit.users.add(user)
        time.sleep(0.5)
        with pytest.raises(DatabaseUnavailable):
            unit.commit()
    with database(read_only=True) as unit:
        assert unit.users.get(user.id) is None
    engine.dispose()


def test_wait_for_a_locked_row_is_bounded(url: str, database: SqlDatabase) -> None:
    """After the timeout the unit is refused, and once the row is unlocked it succeeds."""
    user = stored_user(database)
    with psycopg.connect(url) as other:
        other.execute("SELECT 1 FROM users WHERE id = %s FOR UPDATE", [user.id.bytes])
        with pytest.raises(DatabaseUnavailable) as caught, database() as unit:
            unit.users.record_sign_in(user.id, NOW, 101)
    assert caught.value.detail == "another transaction held a lock for too long (55P03)"
    with database() as unit:
        assert unit.users.record_sign_in(user.id, NOW, 101)
        unit.commit()


def test_deadlock_is_broken(url: str) -> None:
    """The server breaks the deadlock: one unit is refused, the other is committed."""
    engine = open_engine(url)
    database = SqlDatabase(engine)
    users = stored_user(database), stored_user(database)
    both_hold_one = threading.Barrier(2)
    outcomes: list[str] = []

    def sign_in(first: int) -> None:
        try:
            with database() as unit:
                assert unit.users.record_sign_in(users[first].id, NOW, 101)
                both_hold_one.wait(20)
                assert unit.users.record_sign_in(users[1 - first].id, NOW, 102)
                unit.commit()
            outcomes.append("committed")
        except DatabaseUnavailable as error:
            outcomes.append(error.detail)

    threads = [threading.Thread(target=sign_in, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["committed", "the transaction conflicted with another one (40P01)"]
    with database(read_only=True) as unit:
        steps = {stored.totp.last_step for user in users if (stored := unit.users.get(user.id)) and stored.totp}
    assert steps == {101, 102}
    engine.dispose()


def test_read_only_database_serves_readers(url: str, database: SqlDatabase) -> None:
    """In a database set to read-only, readers continue and writers get DatabaseUnavailable."""
    user = stored_user(database)
    set_for_database(url, "default_transaction_read_only", "on")
    database.engine.dispose()
    with pytest.raises(DatabaseUnavailable, match="25006"), database() as unit:
        unit.users.add(a_user())
    with database(read_only=True) as unit:
        assert unit.users.get(user.id) == user


def add(database: SqlDatabase, user: User) -> None:
    with database() as unit:
        unit.users.add(user)
        unit.commit()


def fail_with(url: str, code: str, *, at_commit: bool) -> None:
    """
    Let the server fail with an error code when a user is added, or at the commit.
    """
    when = "AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED" if at_commit else "BEFORE INSERT ON users"
    kind = "CONSTRAINT TRIGGER" if at_commit else "TRIGGER"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            f"CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$"
            f" BEGIN RAISE EXCEPTION 'of %', NEW.email USING ERRCODE = '{code}'; END $$"
        )
        admin.execute("DROP TRIGGER IF EXISTS fail ON users")
        admin.execute(f"CREATE {kind} fail {when} FOR EACH ROW EXECUTE FUNCTION fail()")


@pytest.mark.parametrize("at_commit", [False, True])
def test_failed_statement_or_commit_is_rolled_back(url: str, database: SqlDatabase, *, at_commit: bool) -> None:
    """Full disk, no memory, conflict, shutdown, corruption: nothing remains, and only the code is reported."""
    for code in ("53100", "53200", "53400", "40001", "57P01", "58030", "XX001"):
        fail_with(url, code, at_commit=at_commit)
        user = a_user()
        with pytest.raises(DatabaseUnavailable) as caught:
            add(database, user)
        assert caught.value.detail.endswith(f" ({code})")
        assert caught.value.__cause__ is None
        with database(read_only=True) as unit:
            assert unit.users.get(user.id) is None
