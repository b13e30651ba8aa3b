"""
Behaviour of both databases beyond the contracts: URLs, query plans, column widths, failed statements.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import IntegrityError

from sft_adapters.sql.database import SqlDatabase, SqlUnit
from sft_adapters.sql.engine import PostgresTimeouts, open_engine
from sft_adapters.sql.sessions import SqlSessions
from sft_adapters.sql.transactions import transaction
from sft_adapters.testkit.contracts.examples import NOW, a_file, a_session, a_user, stored_file, stored_user
from sft_core.errors import AlreadyRegistered, ConfigurationError, DatabaseUnavailable
from sft_core.values import ByteRange, EmailAddress, FileName, LinkId, MediaType, Page, Username
from sft_core.vault.model import FileState

PASSWORD = "correct-horse"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        f"mysql://user:{PASSWORD}@localhost/x",
        f"postgresql+psycopg2://user:{PASSWORD}@localhost/x",
        f"postgresql+asyncpg://user:{PASSWORD}@localhost/x",
        f"postgresql://user:{PASSWORD}@localhost:port/x",
        f"postgresql://user:{PASSWORD}@localhost/x?no_such_parameter={PASSWORD}",
        f"postgresql://localhost/x?autocommit={PASSWORD}",
        "sqlite+unknown://",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
    ],
)
def test_unusable_url_is_refused_by_name(url: str) -> None:
    """The error names the setting and does not contain its value."""
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as caught:
        open_engine(url)
    assert PASSWORD not in f"{caught.value} {caught.value.detail} {caught.value.__cause__}"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_is_the_same_database(scheme: str) -> None:
    """Every spelling opens the same engine, whose `repr` contains no secret."""
    engine = open_engine(f"{scheme}://user:{PASSWORD}@db.example.org/sft?sslpassword={PASSWORD}&sslmode=verify-full")
    assert repr(engine) == "Engine(postgresql+psycopg://user:***@db.example.org/sft)"


def test_postgresql_without_its_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver is an optional extra, and without it the setting is refused with the extra's name."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "sft_adapters.sql.postgres", raising=False)
    with pytest.raises(ConfigurationError, match="extra `postgres`"):
        open_engine("postgresql://localhost/x")


@pytest.mark.parametrize("wrong", [{"statement_seconds": 0}, {"idle_seconds": -1}, {"connect_seconds": 1}])
def test_zero_timeout_is_refused(wrong: dict[str, Any]) -> None:
    """Zero would disable the timeout in PostgreSQL, so it is refused."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PostgresTimeouts(**wrong)


def test_unit_with_a_failed_statement_cannot_be_committed(database: SqlDatabase) -> None:
    """A commit after a failed statement is refused, and nothing of the unit is stored."""
    taken, other = stored_user(database), a_user()
    with database() as unit:
        unit.users.add(other)
        with pytest.raises(AlreadyRegistered):
            unit.users.add(taken)
        with pytest.raises(DatabaseUnavailable, match="failed"):
            unit.commit()
    with database(read_only=True) as unit:
        assert unit.users.get(other.id) is None
    with database() as unit:
        unit.users.add(other)
        unit.commit()


def test_refused_commit_leaves_nothing(engine: Engine) -> None:
    """A commit refused by a deferred constraint is rolled back, and the connection stays usable."""
    columns = "id INTEGER PRIMARY KEY, next INTEGER REFERENCES later (id) DEFERRABLE INITIALLY DEFERRED"
    with transaction(engine) as (connection, begun):
        connection.execute(text(f"CREATE TABLE later ({columns})"))
        begun.commit()
    for _ in range(2):
        with transaction(engine) as (connection, begun):
            connection.execute(text("INSERT INTO later VALUES (1, 99)"))
            with pytest.raises(IntegrityError):
                begun.commit()
    with transaction(engine) as (connection, begun):
        assert connection.execute(text("SELECT count(*) FROM later")).scalar() == 0
        connection.execute(text("INSERT INTO later VALUES (1, 1)"))
        begun.commit()
    with transaction(engine) as (connection, begun):
        connection.execute(text("DROP TABLE later"))
        begun.commit()


def test_error_names_its_kind_and_no_data(engine: Engine) -> None:
    """Statement, values and driver text do not appear in the error."""
    with pytest.raises(DatabaseUnavailable) as caught, transaction(engine) as (connection, _):
        connection.execute(text("SELECT a FROM no_such_table WHERE b = :value"), {"value": PASSWORD})
    words, _, code = caught.value.detail.partition(" (")
    assert words == "a statement or the connection failed"
    assert code in {"SQLITE_ERROR)", "42P01)"}
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_exhausted_pool_is_reported(postgres_url: str, sqlite_engine: Engine) -> None:
    """The caller waits up to the timeout and succeeds once a connection is free."""
    for url in (postgres_url, sqlite_engine.url.render_as_string()):
        engine = open_engine(url, connections=1, busy_seconds=0.1)
        with transaction(engine), pytest.raises(DatabaseUnavailable, match="in use"), transaction(engine):
            pass
        with transaction(engine, read_only=True) as (connection, _):
            assert connection.execute(text("SELECT 1")).scalar() == 1
        engine.dispose()


def test_longest_values_fit(database: SqlDatabase) -> None:
    """The columns hold every value that the core's types accept, in its longest encoding."""
    # One ligature that folds to eighteen letters, fifty times: no username key is longer.
    name = Username.parse("\ufdfa" * 50)
    email = EmailAddress.parse(f"{'a' * 64}@{'.'.join(['b' * 61] * 3)}.org")
    longest = FileName.parse("\U0001f512" * 255)
    user = a_user(username=name, email=email)
    file = a_file(user, name=longest, original_name=longest, media_type=MediaType(f"{'a' * 63}/{'b' * 63}"))
    with database() as unit:
        unit.users.add(user)
        unit.files.add(file)
        unit.commit()
    with database(read_only=True) as unit:
        assert unit.users.find(email) == user
        assert unit.files.get(file.id) == file


def statements_of(engine: Engine, query: Callable[[SqlUnit], object]) -> Iterable[tuple[str, Any]]:
    """
    The statements that a query executes, with their parameters.
    """
    executed: list[tuple[str, Any]] = []

    def listen(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        executed.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", listen)
    with SqlDatabase(engine)() as unit:
        query(unit)
    event.remove(engine, "before_cursor_execute", listen)
    return [
        (statement, parameters)
        for statement, parameters in executed
        if "WHERE" in statement and "set_config" not in statement
    ]


def plans(engine: Engine, query: Callable[[SqlUnit], object]) -> str:
    """
    The query plan; for PostgreSQL, as if the table were too large for a sequential scan.
    """
    lines = []
    for statement, parameters in statements_of(engine, query):
        with transaction(engine) as (connection, _):
            explain = "EXPLAIN QUERY PLAN"
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
                explain = "EXPLAIN"
            rows = connection.exec_driver_sql(f"{explain} {statement}", parameters)
            lines += [str(row[-1]) for row in rows]
    return "\n".join(lines)


def test_lookups_and_listings_use_an_index(engine: Engine, database: SqlDatabase) -> None:
    """No query that every request makes scans a whole table, and none sorts."""
    file = stored_file(database, 10, 20)
    user = a_user()
    queries: list[Callable[[SqlUnit], object]] = [
        lambda unit: unit.users.find(user.email),
        lambda unit: unit.users.record_sign_in(user.id, NOW, 101),
        lambda unit: unit.files.list_sealed(file.owner, Page(), now=NOW),
        lambda unit: unit.files.replace(file, expected=FileState.SEALED),
        lambda unit: unit.manifests.covering(file.id, ByteRange(5, 15), limit=3),
        lambda unit: unit.manifests.totals(file.id),
        lambda unit: unit.links.find(b"digest"),
        lambda unit: unit.links.of_files([file.id]),
        lambda unit: unit.links.consume_download(LinkId(file.id.value), now=NOW),
    ]
    for query in queries:
        found = plans(engine, query)
        assert "SCAN" not in found.upper().replace("INDEX SCAN", "").replace("INDEX ONLY SCAN", ""), found
        assert "INDEX" in found.upper(), found
    assert "sort" not in plans(engine, queries[2]).lower().replace("incremental sort", "")


def test_session_lookup_uses_the_primary_key(engine: Engine, database: SqlDatabase) -> None:
    """Sessions are looked up by the primary key."""
    sessions, session = SqlSessions(engine), a_session(stored_user(database))
    sessions.open(session)
    found = plans(engine, lambda _unit: sessions.get(session.id))
    assert {"postgresql": "pk_sessions", "sqlite": "autoindex_sessions"}[engine.dialect.name] in found
