"""
What the contracts cannot ask: migrations, drivers' errors, plans, races of processes.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from sft_adapters.sql import migrate
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import open_engine, sqlite_is_safe_for_many_writers, transaction
from sft_adapters.sql.sessions import SqlSessions
from sft_adapters.sql.tables import metadata
from sft_adapters.testkit.contracts.examples import a_link, a_session, a_user, stored_file, stored_user
from sft_core.errors import ConfigurationError, DatabaseUnavailable
from support.racers import claim, race, rotate, spend


def columns_and_tables(engine: Engine) -> list[Any]:
    with transaction(engine, read_only=True) as (connection, _):
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def test_migrations_go_up_down_and_up_without_drift(engine: Engine) -> None:
    """What the migrations make is what the tables say, and they can be undone."""
    assert columns_and_tables(engine) == []
    migrate.downgrade(engine, "base")
    assert migrate.current(engine) is None
    migrate.upgrade(engine)
    migrate.upgrade(engine)
    assert columns_and_tables(engine) == []
    migrate.check(engine)


def test_a_schema_of_another_time_is_refused(engine: Engine) -> None:
    """Older: migrate. Newer: not with this version. Neither is touched."""
    migrate.downgrade(engine, "base")
    with pytest.raises(ConfigurationError, match="older"):
        migrate.check(engine)
    migrate.upgrade(engine)
    with transaction(engine) as (connection, begun):
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        begun.commit()
    for action in (migrate.check, migrate.upgrade):
        with pytest.raises(ConfigurationError, match="newer"):
            action(engine)
    assert migrate.current(engine) == "9999"


def test_two_that_migrate_at_once_both_succeed(tmp_path: Path) -> None:
    """The second one waits, and finds nothing left to do."""
    engines = [open_engine(f"sqlite:///{tmp_path / 'new.db'}", busy_seconds=20) for _ in range(4)]
    faults: list[Exception] = []

    def run(engine: Engine) -> None:
        try:
            migrate.upgrade(engine)
        except Exception as error:  # noqa: BLE001 (whatever it is, it must not be)
            faults.append(error)

    threads = [threading.Thread(target=run, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    migrate.check(engines[0])
    for engine in engines:
        engine.dispose()


def test_every_connection_is_durable_and_strict(engine: Engine) -> None:
    """Write-ahead log, full synchronisation, enforced references, no mapped memory."""
    with transaction(engine, read_only=True) as (connection, _):
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "mmap_size")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "mmap_size": 0}


def busy(path: Path) -> Callable[[], None]:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    return holder.close


def test_a_locked_database_is_unavailable_in_our_words(tmp_path: Path) -> None:
    """Whoever waits too long is told so, without a word of the driver's or of the statement's."""
    path = tmp_path / "sft.db"
    engine = open_engine(f"sqlite:///{path}", busy_seconds=0.1)
    migrate.upgrade(engine)
    release = busy(path)
    with pytest.raises(DatabaseUnavailable) as caught, SqlDatabase(engine)() as unit:
        unit.users.add(a_user())
    assert "SQLITE_BUSY" in caught.value.detail or "OperationalError" in caught.value.detail
    assert "locked" not in str(caught.value)
    assert caught.value.__cause__ is None
    with SqlDatabase(engine)(read_only=True) as unit:
        assert unit.users.get(a_user().id) is None
    release()
    stored_user(SqlDatabase(engine))
    engine.dispose()


@pytest.mark.parametrize("content", [b"this is no database at all, but long enough to be one" * 20, bytes(4096)])
def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path, content: bytes) -> None:
    """It is neither used nor overwritten."""
    path = tmp_path / "sft.db"
    path.write_bytes(content)
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(DatabaseUnavailable), SqlDatabase(engine)() as unit:
        unit.users.add(a_user())
    engine.dispose()
    assert path.read_bytes()[: len(content)] == content


@pytest.mark.parametrize(
    "url", ["", "nonsense", "postgresql://localhost/x", "mysql://localhost/x", "sqlite+unknown://"]
)
def test_another_database_is_refused_by_name(url: str) -> None:
    """A wrong URL is a setting to mend."""
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        open_engine(url)


def test_the_flaw_of_the_library_is_known_by_its_version() -> None:
    """Before 3.51.3 one process writes."""
    assert not sqlite_is_safe_for_many_writers((3, 51, 2))
    assert sqlite_is_safe_for_many_writers((3, 51, 3))


def plan(engine: Engine, statement: str) -> str:
    with closing(sqlite3.connect(engine.url.database or "")) as connection:
        return "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))


def test_lookups_and_listings_use_an_index(engine: Engine) -> None:
    """No question that is asked for each request reads a whole table."""
    for statement in (
        "SELECT * FROM files WHERE owner_id = x'00' AND state = 'sealed' ORDER BY created_at DESC, id DESC LIMIT 5",
        "SELECT * FROM links WHERE token_digest = x'00'",
        "SELECT * FROM links WHERE file_id IN (x'00', x'01') ORDER BY created_at DESC, id DESC",
        "SELECT * FROM parts WHERE file_id = x'00' AND start >= 5 AND start < 9 ORDER BY start, number LIMIT 3",
        "SELECT max(start) FROM parts WHERE file_id = x'00' AND start <= 5 AND size > 0",
        "SELECT * FROM users WHERE email = 'x'",
        "SELECT * FROM sessions WHERE id = x'00'",
    ):
        found = plan(engine, statement)
        assert "SCAN" not in found, found
        assert "INDEX" in found, found


def test_a_download_budget_is_exact_across_processes(engine: Engine, database: SqlDatabase) -> None:
    """Four processes ask forty times for thirteen downloads: thirteen are given."""
    link = a_link(stored_file(database), max_downloads=13)
    with database() as unit:
        unit.links.add(link)
        unit.commit()
    assert race(claim, str(engine.url), link.id.bytes) == 13


def test_a_refresh_token_is_exchanged_once_across_processes(engine: Engine, database: SqlDatabase) -> None:
    """Four processes exchange one generation forty times: once."""
    session = a_session(stored_user(database))
    SqlSessions(engine).open(session)
    assert race(rotate, str(engine.url), session.id.bytes) == 1


def test_a_one_time_step_is_spent_once_across_processes(engine: Engine, database: SqlDatabase) -> None:
    """Four processes spend ten steps each: no step is spent twice."""
    user = stored_user(database)
    assert 1 <= race(spend, str(engine.url), user.id.bytes) <= 10
    with closing(sqlite3.connect(engine.url.database or "")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
