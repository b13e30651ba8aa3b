"""
A PostgreSQL that goes away: at rest, in the middle of a unit, in the middle of a COMMIT, and for good.
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
    An engine whose connections go through the relay.
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
    Whether a user is there, seen past the relay and the engine.
    """
    with psycopg.connect(url) as other:
        return other.execute("SELECT 1 FROM users WHERE id = %s", [user.id.bytes]).fetchone() is not None


def end_sessions(url: str) -> None:
    """
    What an administrator or a restart does to every connection.
    """
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )


@pytest.mark.parametrize("loss", Loss)
def test_a_commit_whose_answer_is_lost_is_whole_or_not_at_all(
    url: str, proxy: Proxy, database: SqlDatabase, loss: Loss
) -> None:
    """The outcome is unknown to the caller; what the server was told happened, what it was not told did not."""
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
def test_a_unit_that_breaks_off_leaves_nothing(
    url: str, proxy: Proxy, database: SqlDatabase, request_: bytes, loss: Loss
) -> None:
    """Whichever message or answer is lost before the COMMIT, the unit is refused and nothing of it is there."""
    kept, user = stored_user(database), a_user()
    proxy.lose(request_, loss)
    with pytest.raises(DatabaseUnavailable):
        add(database, user)
    assert not is_stored(url, user)
    with database(read_only=True) as unit:
        assert unit.users.get(kept.id) == kept


def test_a_unit_whose_session_is_ended_leaves_nothing(url: str, database: SqlDatabase) -> None:
    """An administrator ends it between two statements: the unit is over, the next one is served."""
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


def test_dead_connections_are_replaced_before_they_are_used(url: str, proxy: Proxy, engine: Engine) -> None:
    """Whether the server ended them or the network did, the next units do not notice."""
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


def test_what_a_unit_needs_goes_out_in_one_message(proxy: Proxy, database: SqlDatabase) -> None:
    """Is the connection alive; begin, with every limit; the question; the end."""
    with database(read_only=True):
        pass
    before = proxy.requests
    with database(read_only=True) as unit:
        unit.users.get(a_user().id)
    assert proxy.requests - before == 4


def test_a_server_that_hangs_is_given_up(url: str, proxy: Proxy, database: SqlDatabase) -> None:
    """In the middle of a unit: it is refused in bounded time, and the next one is served when the server is back."""
    user, begun = a_user(), time.monotonic()
    with database() as unit:
        proxy.stall()
        with pytest.raises(DatabaseUnavailable, match="did not respond in time"):
            unit.users.add(user)
    assert time.monotonic() - begun < 30
    proxy.resume()
    assert not is_stored(url, user)
    add(database, user)


def test_a_pooled_connection_that_hangs_is_given_up(proxy: Proxy, database: SqlDatabase) -> None:
    """A connection is asked before it is used, for a short time, however long its last unit was allowed."""
    with transaction(database.engine, seconds=600):
        pass
    proxy.stall()
    begun = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match="did not respond in time"):
        stored_user(database)
    assert time.monotonic() - begun < 30
    proxy.resume()
    stored_user(database)


def test_a_slow_server_is_waited_for(proxy: Proxy, database: SqlDatabase) -> None:
    """Answers that come late but in time are answers."""
    proxy.delay_seconds = 0.01
    user = stored_user(database)
    with database(read_only=True) as unit:
        assert unit.users.get(user.id) == user


def test_nobody_at_the_address_is_told(postgres: Postgres) -> None:
    """No server, no such database, no such user, a wrong password, no place left: each in our words."""
    parsed = urlsplit(postgres.admin_url)
    nobody = parsed._replace(netloc=f"user:{PASSWORD}@127.0.0.1:{free_port()}").geturl()
    no_such = parsed._replace(path="/no_such_database").geturl()
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        role = sql.Identifier("sft_without_a_place")
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        command = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT 0")
        admin.execute(command.format(role, sql.Literal(PASSWORD)))
        host = parsed.netloc.rpartition("@")[2]
        no_place = parsed._replace(netloc=f"sft_without_a_place:{PASSWORD}@{host}").geturl()
        for url, words in ((nobody, "no server listens"), (no_such, "does not have"), (no_place, "no connection left")):
            engine = open_engine(url)
            with pytest.raises(DatabaseUnavailable, match=words) as caught:
                migrate.check(engine)
            assert PASSWORD not in f"{caught.value!r} {caught.value.detail}"
            assert caught.value.__cause__ is None
        admin.execute(sql.SQL("DROP ROLE {}").format(role))


def start_again(server: Postgres) -> None:
    """
    Start a killed server: the system takes a moment to forget the memory that its processes shared.
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
    Eight clients that add users until it is over, and note what they were told.
    """

    def __init__(self, database: SqlDatabase) -> None:
        self.database = database
        self.answered: list[User] = []
        self.refused: list[User] = []
        self.faults: list[Exception] = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(8)]

    def run(self) -> None:
        while not self.over.is_set():
            user = a_user()
            try:
                add(self.database, user)
            except DatabaseUnavailable:
                self.refused.append(user)
                self.over.wait(0.01)
            except Exception as error:  # noqa: BLE001 (whatever it is, it must not be)
                self.faults.append(error)
            else:
                self.answered.append(user)

    def wait_for_more(self) -> None:
        """
        Return when fifty more were answered; the test's own timeout is the bound.
        """
        enough = len(self.answered) + 50
        while len(self.answered) < enough:
            time.sleep(0.01)

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_a_server_that_is_killed_and_started_again_has_lost_nothing() -> None:
    """Under load: clients see refusals and nothing else, every answered commit is there, and the engine recovers."""
    with own_postgres() as server:
        assert server.server is not None
        engine = open_engine(server.admin_url, connections=8)
        migrate.upgrade(engine)
        with Load(SqlDatabase(engine)) as load:
            for _ in range(2):
                load.wait_for_more()
                server.server.kill()
                start_again(server)
            load.wait_for_more()
        with psycopg.connect(server.admin_url) as other:
            stored = {bytes(row[0]) for row in other.execute("SELECT id FROM users")}
        engine.dispose()
    assert load.faults == []
    assert load.refused != []
    assert {user.id.bytes for user in load.answered} <= stored
    assert stored <= {user.id.bytes for user in (*load.answered, *load.refused)}
