"""
SQLite only: its connections, its lock, its file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine, event

from sft_adapters.sql import migrate
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import open_engine, sqlite_is_safe_for_many_writers
from sft_adapters.sql.transactions import transaction
from sft_adapters.testkit.contracts.examples import NOW, a_user, stored_user
from sft_core.errors import DatabaseUnavailable
from sft_core.maintenance.ports import IdleCutoffs
from sft_core.users.model import User
from sft_core.values import FileId


def test_connection_is_durable_and_strict(sqlite_engine: Engine) -> None:
    """Connections use the write-ahead log, full synchronisation, enforced references and no mapped memory."""
    with transaction(sqlite_engine, read_only=True) as (connection, _):
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "mmap_size")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "mmap_size": 0}


def test_deleted_data_is_overwritten(sqlite_engine: Engine) -> None:
    """`secure_delete` is switched on even if the library's build has it off, as on this connection."""
    raw = sqlite3.connect(":memory:")
    raw.execute("PRAGMA secure_delete=OFF")
    sqlite_engine.pool.dispatch.connect(raw, None)
    assert raw.execute("PRAGMA secure_delete").fetchone() == (1,)
    raw.close()


def test_locked_database_is_unavailable(tmp_path: Path) -> None:
    """The wait is bounded, and the error contains no text of the driver or the statement."""
    path = tmp_path / "sft.db"
    engine = open_engine(f"sqlite:///{path}", busy_seconds=0.1)
    migrate.upgrade(engine)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable) as caught, SqlDatabase(engine)() as unit:
            unit.users.add(a_user())
        assert caught.value.detail == "another process locked the database for too long (SQLITE_BUSY)"
        assert caught.value.__cause__ is None
        with SqlDatabase(engine)(read_only=True) as unit:
            assert unit.users.get(a_user().id) is None
    stored_user(SqlDatabase(engine))
    engine.dispose()


def store(database: SqlDatabase, users: Iterable[User]) -> None:
    with database() as unit:
        for user in users:
            unit.users.add(user)
        unit.commit()


def test_full_disk_is_unavailable_and_rolled_back(sqlite_engine: Engine) -> None:
    """A unit on a full disk is rolled back; once there is space the next one succeeds."""
    database = SqlDatabase(sqlite_engine)
    kept = stored_user(database)
    with transaction(sqlite_engine, read_only=True) as (connection, _):
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    # The pool has one connection, so the limit applies to all that follows.
    with sqlite_engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    users = [a_user() for _ in range(200)]
    with pytest.raises(DatabaseUnavailable, match="SQLITE_FULL"):
        store(database, users)
    with database(read_only=True) as unit:
        assert [user for user in users if unit.users.get(user.id)] == []
        assert unit.users.get(kept.id) == kept
    with sqlite_engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=100000")
    store(database, users)
    with database(read_only=True) as unit:
        assert all(unit.users.get(user.id) == user for user in users)


@pytest.mark.parametrize("content", [b"this is no database at all, but long enough to be one" * 20, bytes(4096)])
def test_file_that_is_no_database_is_unavailable(tmp_path: Path, content: bytes) -> None:
    """The file is neither used nor overwritten."""
    path = tmp_path / "sft.db"
    path.write_bytes(content)
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(DatabaseUnavailable), SqlDatabase(engine)() as unit:
        unit.users.add(a_user())
    engine.dispose()
    assert path.read_bytes()[: len(content)] == content


def test_library_flaw_is_detected_by_version() -> None:
    """Before 3.51.3 only one process may write."""
    assert not sqlite_is_safe_for_many_writers((3, 51, 2))
    assert sqlite_is_safe_for_many_writers((3, 51, 3))


def test_sweep_uses_indexes(sqlite_engine: Engine) -> None:
    """The sweep's queries use the indexes of unsealed and of expiring files."""
    executed: list[tuple[str, object]] = []

    def record(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        executed.append((statement, parameters))

    with SqlDatabase(sqlite_engine)(read_only=True) as unit:
        event.listen(sqlite_engine, "before_cursor_execute", record)
        for after in (None, FileId(UUID(int=7))):
            unit.reclaimable.in_deletion(after=after, limit=9)
            unit.reclaimable.idle(since=IdleCutoffs(resumable=NOW, non_resumable=NOW), after=after, limit=9)
            unit.reclaimable.expired(by=NOW, after=after, limit=9)
        event.remove(sqlite_engine, "before_cursor_execute", record)
    assert len(executed) == 6
    with closing(sqlite3.connect(sqlite_engine.url.database or "")) as connection:
        for number, (statement, parameters) in enumerate(executed):
            step, *within = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()  # type: ignore[arg-type]  # a row of a plan
            assert ("ix_files_ending" if number % 3 == 2 else "ix_files_unfinished") in step[3]
            assert not any("SCAN" in row[3] for row in within)
