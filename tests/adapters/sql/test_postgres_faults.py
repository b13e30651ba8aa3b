"""
PostgreSQL failures: idle, during a unit of work, during a COMMIT, and until a restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine

from sft_adapters.sql import migrate
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import PostgresTimeouts, open_engine
from sft_adapters.sql.transactions import transaction
from sft_adapters.testkit.contracts.examples import a_user, stored_user
from sft_core.errors import DatabaseUnavailable
from sft_core.users.model import User
from support.faults.proxy import Loss, Proxy, relay
from support.servers.backends import Postgres, own_postgres
from support.servers.processes import free_port

PASSWORD = "correct-horse"
QUICK = PostgresTimeouts(connect_seconds=2, statement_seconds=0.4, response_grace_seconds=0.1)


@pytest.fixture
def url(migrated_postgres_url: str) -> str:
    return migrated_postgres_url


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    parsed = urlsplit(url)
    assert parsed.hostname is not None
    with relay(parsed.hostname, parsed.port or 5432) as proxy:
        yield proxy


@pytest.fixture
def engine(url: str, proxy: Proxy) -> Iterator[Engine]:
    """
    An engine whose connections pass through the proxy.
    """
    parsed = urlsplit(url)
    credentials, at, _ = parsed.netloc.rpartition("@")
    through = parsed._replace(netloc=f"{credentials}{at}127.0.0.1:{proxy.port}").geturl()
    engine = open_engine(through, timeouts=QUICK, busy_seconds=5)
    yield engine
    engine.dispose()


@pytest.fixture
def database(engine: Engine) -> SqlDatabase:
    return SqlDatabase(engine)


def add(database: SqlDatabase, user: User) -> None:
    with database() as unit:
        unit.users.add(user)
        unit.commit()


def is_stored(url: str, user: User) -> bool:
    """
    Whether a user is stored, read past the proxy and the engine.
    """
    with psycopg.connect(url) as other:
        return other.execute("SELECT 1 FROM users WHERE id = %s", [user.id.bytes]).fetchone() is not None


def end_sessions(url: str) -> None:
    """
    Terminate every connection, as an administrator or a restart does.
    """
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )


@pytest.mark.parametrize("loss", Loss)
def test_commit_in_doubt_is_atomic(url: str, proxy: Proxy, database: SqlDatabase, loss: Loss) -> None:
    """The outcome is unknown to the caller; a COMMIT that reached the server took effect, a lost one did not."""
    users = a_user(), a_user()
    with database() as unit:
        for user in users:
            unit.users.add(user)
        proxy.lose(b"COMMIT", loss)
        with pytest.raises(DatabaseUnavailable) as caught:
            unit.commit()
        assert caught.value.__cause__ is None
        with pytest.raises(DatabaseUnavailable):
            unit.commit()
    assert [is_stored(url, user) for user in users] == [loss is Loss.ANSWER] * 2
    add(database, a_user())


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("request_", [b"BEGIN", b"INSERT"])
def test_interrupted_unit_leaves_nothing(
    url: str, proxy: Proxy, database: SqlDatabase, request_: bytes, loss: Loss
) -> None:
    """Whichever message or response before the COMMIT is lost, the unit is refused and nothing of it is stored."""
    kept, user = stored_user(database), a_user()
    proxy.lose(request_, loss)
    with pytest.raises(DatabaseUnavailable):
        add(database, user)
    assert not is_stored(url, user)
    with database(read_only=True) as unit:
        assert unit.users.get(kept.id) == kept


def test_unit_with_a_terminated_session_leaves_nothing(url: str, database: SqlDatabase) -> None:
    """An administrator terminates the session between two statements: the unit fails, the next one succeeds."""
    user = a_user()
    with database() as unit:
        unit.users.add(user)
        end_sessions(url)
        with pytest.raises(DatabaseUnavailable, match="57P01"):
            unit.users.get(user.id)
        with pytest.raises(DatabaseUnavailable):
            unit.commit()
    assert not is_stored(url, user)
    add(database, user)


def test_dead_connections_are_replaced_before_use(url: str, proxy: Proxy, engine: Engine) -> None:
    """Whether the server or the network ended the connections, the next units succeed."""
    database = SqlDatabase(engine)
    for network in (False, True):
        with database(read_only=True), database(read_only=True), database(read_only=True):
            pass
        if network:
            proxy.cut()
        else:
            end_sessions(url)
        for _ in range(3):
            stored_user(database)


def test_unit_sends_four_messages(proxy: Proxy, database: SqlDatabase) -> None:
    """Liveness check, begin with every timeout, query, end: one message each."""
    with database(read_only=True):
        pass
    before = proxy.requests
    with database(read_only=True) as unit:
        unit.users.get(a_user().id)
    assert proxy.requests - before == 4


def test_hanging_server_times_out(url: str, proxy: Proxy, database: SqlDatabase) -> None:
    """The running unit is refused in bounded time, and the next one succeeds once the server is back."""
    user, start = a_user(), time.monotonic()
    with database() as unit:
        proxy.stall()
        with pytest.raises(DatabaseUnavailable, match="did not respond in time"):
            unit.users.add(user)
    assert time.monotonic() - start < 30
    proxy.resume()
    assert not is_stored(url, user)
    add(database, user)


def test_hanging_pooled_connection_times_out(proxy: Proxy, database: SqlDatabase) -> None:
    """The liveness check of a pooled connection is short, even if its last unit had a long timeout."""
    with transaction(database.engine, seconds=600):
        pass
    proxy.stall()
    start = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match="did not respond in time"):
        stored_user(database)
    assert time.monotonic() - start < 30
    proxy.resume()
    stored_user(database)


def test_slow_server_is_tolerated(proxy: Proxy, database: SqlDatabase) -> None:
    """Late responses within the timeout are accepted."""
    proxy.delay_seconds = 0.01
    user = stored_user(database)
    with database(read_only=True) as unit:
        assert unit.users.get(user.id) == user


def test_connection_failure_is_named(postgres: Postgres) -> None:
    """No server, no such database, no such user, wrong password, no free connection: each is named."""
    parsed = urlsplit(postgres.admin_url)
    unreachable = parsed._replace(netloc=f"user:{PASSWORD}@127.0.0.1:{free_port()}").geturl()
    no_such = parsed._replace(path="/no_such_database").geturl()
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        role = sql.Identifier("sft_without_a_place")
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        command = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT 0")
        admin.execute(command.format(role, sql.Literal(PASSWORD)))
        host = parsed.netloc.rpartition("@")[2]
        no_connection = parsed._replace(netloc=f"sft_without_a_place:{PASSWORD}@{host}").geturl()
        for url, words in (
            (unreachable, "no server listens"),
            (no_such, "does not have"),
            (no_connection, "no connection left"),
        ):
            engine = open_engine(url)
            with pytest.raises(DatabaseUnavailable, match=words) as caught:
                migrate.check(engine)
            assert PASSWORD not in f"{caught.value!r} {caught.value.detail}"
            assert caught.value.__cause__ is None
        admin.execute(sql.SQL("DROP ROLE {}").format(role))


def restart(server: Postgres) -> None:
    """
    Restart a killed server; the system needs a moment to release the shared memory.
    """
    assert server.server is not None
    for _ in range(50):
        try:
            server.server.start()
        except RuntimeError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the server does not start again")


class Load:
    """
    Eight clients that add users until they are stopped, and record the outcomes.
    """

    def __init__(self, database: SqlDatabase) -> None:
        self.database = database
        self.acknowledged: list[User] = []
        self.refused: list[User] = []
        self.faults: list[Exception] = []
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(8)]

    def run(self) -> None:
        while not self.stopped.is_set():
            user = a_user()
            try:
                add(self.database, user)
            except DatabaseUnavailable:
                self.refused.append(user)
                self.stopped.wait(0.01)
            except Exception as error:  # noqa: BLE001 (any other error fails the test)
                self.faults.append(error)
            else:
                self.acknowledged.append(user)

    def wait_for_more(self) -> None:
        """
        Return after fifty more acknowledged commits; the test's own timeout is the bound.
        """
        enough = len(self.acknowledged) + 50
        while len(self.acknowledged) < enough:
            time.sleep(0.01)

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def test_killed_and_restarted_server_loses_nothing() -> None:
    """Under load clients see refusals only, every acknowledged commit is stored, and the engine recovers."""
    with own_postgres() as server:
        assert server.server is not None
        engine = open_engine(server.admin_url, connections=8)
        migrate.upgrade(engine)
        with Load(SqlDatabase(engine)) as load:
            for _ in range(2):
                load.wait_for_more()
                server.server.kill()
                restart(server)
            load.wait_for_more()
        with psycopg.connect(server.admin_url) as other:
            stored = {bytes(row[0]) for row in other.execute("SELECT id FROM users")}
        engine.dispose()
    assert load.faults == []
    assert load.refused != []
    assert {user.id.bytes for user in load.acknowledged} <= stored
    assert stored <= {user.id.bytes for user in (*load.acknowledged, *load.refused)}
