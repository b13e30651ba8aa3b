"""
Migrations up and down, on both databases.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import attrs
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from psycopg import sql
from sqlalchemy import Connection, Engine, Table, event, insert, inspect, text

from sft_adapters.sql import migrate
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import open_engine
from sft_adapters.sql.files import to_row
from sft_adapters.sql.links import to_row as to_link_row
from sft_adapters.sql.retention import ExpiredLinkTokens
from sft_adapters.sql.tables import metadata
from sft_adapters.sql.transactions import transaction
from sft_adapters.testkit.contracts.examples import NOW, a_file, a_link, a_user, some_parts
from sft_core.errors import ConfigurationError, Conflict, DatabaseUnavailable
from sft_core.sharing.model import ShareLink
from sft_core.vault.model import FileState
from support.servers.backends import Postgres

HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)


@pytest.fixture
def empty(empty_url: str) -> Iterator[Engine]:
    engine = open_engine(empty_url, busy_seconds=20)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(empty: Engine) -> Engine:
    """
    A migrated database of the test's own.
    """
    migrate.upgrade(empty)
    return empty


def drift(engine: Engine) -> list[Any]:
    with transaction(engine, read_only=True) as (connection, _):
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def store_old_rows(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """
    Store rows in a table of an earlier revision, which lacks some of their columns.
    """
    known = {column["name"] for column in inspect(connection).get_columns(table.name)}
    for row in rows:
        connection.execute(insert(table).values({name: value for name, value in row.items() if name in known}))


def tables(engine: Engine) -> list[str]:
    with transaction(engine, read_only=True) as (connection, _):
        return inspect(connection).get_table_names()


def test_migrations_up_and_down_leave_no_drift(engine: Engine) -> None:
    """The migrated schema equals the table definitions, and every migration can be undone."""
    assert drift(engine) == []
    migrate.downgrade(engine, "base")
    assert migrate.current(engine) is None
    assert tables(engine) == ["alembic_version"]
    migrate.upgrade(engine)
    migrate.upgrade(engine)
    assert drift(engine) == []
    migrate.check(engine)


def test_each_migration_runs_up_and_down(empty: Engine) -> None:
    """Each revision can be reached from both neighbours."""
    revisions = [script.revision for script in migrate.scripts().walk_revisions()][::-1]
    for revision in revisions:
        migrate.upgrade(empty, revision)
        assert migrate.current(empty) == revision
    for revision in reversed(revisions[:-1]):
        migrate.downgrade(empty, revision)
        assert migrate.current(empty) == revision


def test_migration_counts_existing_files_for_their_owner(empty: Engine) -> None:
    """Existing files count by size if sealed or in deletion, else by recorded parts; repeating the migration too."""
    migrate.upgrade(empty, "0002")
    owner, other, newcomer = a_user(), a_user(), a_user()
    sizes = {FileState.SEALED: 2**40, FileState.DELETING: 300, FileState.RECEIVING: 0, FileState.ABORTING: 0}
    stored = [a_file(owner, state=state, size=size) for state, size in sizes.items()]
    stored += [a_file(other, state=FileState.SEALED, size=5), a_file(other)]
    recorded = {file: some_parts(file, 10, 7) for file in stored if file.state is not FileState.SEALED}
    with SqlDatabase(empty)() as unit:
        for user in (owner, other, newcomer):
            unit.users.add(user)
        store_old_rows(unit.files.connection, metadata.tables["files"], [to_row(file) for file in stored])
        for file, parts in recorded.items():
            unit.manifests.append(file.id, parts)
        unit.commit()
    for _ in range(2):
        migrate.upgrade(empty)
        assert drift(empty) == []
        with SqlDatabase(empty)(read_only=True) as unit:
            used = [unit.quotas.used(user.id) for user in (owner, other, newcomer)]
            assert used == [2**40 + 300 + 17 + 17, 5 + 17, 0]
        migrate.downgrade(empty, "0002")
    migrate.upgrade(empty)
    with SqlDatabase(empty)() as unit:
        for file in stored:
            unit.quotas.release(file.id)
        unit.commit()
    with SqlDatabase(empty)(read_only=True) as unit:
        assert unit.quotas.used(owner.id) == 2**40 + 17


def test_migration_sets_touched_at_to_the_creation_time(empty: Engine) -> None:
    """`touched_at` of existing rows, and of rows that an older release adds later, is the creation time."""
    migrate.upgrade(empty, "0003")
    owner = a_user()
    old, late = a_file(owner), a_file(owner, created_at=NOW + timedelta(hours=1))
    with SqlDatabase(empty)() as unit:
        unit.users.add(owner)
        store_old_rows(unit.files.connection, metadata.tables["files"], [to_row(old)])
        unit.commit()
    migrate.upgrade(empty)
    with SqlDatabase(empty)() as unit:
        row = to_row(late)
        del row["touched_at"]
        store_old_rows(unit.files.connection, metadata.tables["files"], [row])
        unit.commit()
    with SqlDatabase(empty)(read_only=True) as unit:
        assert [unit.files.get(file.id) for file in (old, late)] == [old, late]


def test_migration_to_optional_tokens_keeps_links(empty: Engine) -> None:
    """The upgrade keeps links and constraints; the downgrade deletes only links without a token."""
    migrate.upgrade(empty, "0009")
    owner = a_user()
    file = a_file(owner, state=FileState.SEALED)
    links = [a_link(file, revoked_at=NOW, max_downloads=9, downloads=4), a_link(file, created_at=NOW - HOUR)]
    with SqlDatabase(empty)() as unit:
        unit.users.add(owner)
        store_old_rows(unit.files.connection, metadata.tables["files"], [to_row(file)])
        for link in links:
            unit.links.connection.execute(insert(metadata.tables["links"]).values(to_link_row(link)))
        unit.commit()

    def stored() -> list[ShareLink]:
        with SqlDatabase(empty)(read_only=True) as unit:
            return list(unit.links.of_files([file.id]))

    migrate.upgrade(empty)
    assert stored() == links
    for broken in ("token_key_id = NULL", "wrapped_token = NULL", "downloads = -1", "max_downloads = 0", "id = NULL"):
        with pytest.raises(Conflict), transaction(empty) as (connection, _):
            connection.execute(text(f"UPDATE links SET {broken} WHERE downloads = 4"))
    assert ExpiredLinkTokens(empty).delete_expired(before=NOW + TICK, limit=9) == 1
    assert stored() == [attrs.evolve(links[0], token=None), links[1]]
    migrate.downgrade(empty, "0009")
    assert stored() == links[1:]
    migrate.upgrade(empty)
    assert stored() == links[1:]
    with SqlDatabase(empty)() as unit:
        assert unit.files.replace(file.deleting(file.created_at), expected=file.state)
        unit.files.remove(file.id)
        unit.commit()
    assert stored() == []


def test_older_or_newer_schema_is_refused(engine: Engine) -> None:
    """An older schema asks for a migration, a newer one is refused, and neither is changed."""
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


def test_concurrent_migrations_all_succeed(empty_url: str) -> None:
    """One process migrates; the others wait and find nothing to do."""
    engines = [open_engine(empty_url, busy_seconds=120) for _ in range(4)]
    faults: list[Exception] = []

    def run(engine: Engine) -> None:
        try:
            migrate.upgrade(engine)
        except Exception as error:  # noqa: BLE001 (any error fails the test)
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


class _InterruptedError(Exception):
    """
    The process ends here.
    """


def test_interrupted_migration_leaves_nothing(empty: Engine) -> None:
    """Whichever statement is the last, the database is as empty as before."""
    statements_left = 0

    def count_down(*_: object) -> None:
        nonlocal statements_left
        statements_left -= 1
        if statements_left < 0:
            raise _InterruptedError

    for statements in count(2):
        statements_left = statements
        event.listen(empty, "before_cursor_execute", count_down)
        try:
            migrate.upgrade(empty)
        except _InterruptedError:
            pass
        else:
            break
        finally:
            event.remove(empty, "before_cursor_execute", count_down)
        assert tables(empty) == []
    assert statements > len(metadata.tables)
    migrate.check(empty)


def test_wait_for_another_migration_is_bounded(postgres_url: str) -> None:
    """A second migration times out and changes nothing; after the first has ended it succeeds."""
    engine = open_engine(postgres_url)
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [migrate.LOCK])
        with pytest.raises(DatabaseUnavailable):
            migrate.upgrade(engine, seconds=0.2)
    assert migrate.current(engine) is None
    migrate.upgrade(engine, seconds=20)
    migrate.check(engine)
    engine.dispose()


def test_migration_may_take_longer_than_a_request(postgres_url: str) -> None:
    """The timeouts of ordinary statements do not apply to a unit with a longer one."""
    engine = open_engine(postgres_url)
    with transaction(engine, seconds=600) as (connection, _):
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "10min"
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "10min"
    engine.dispose()


def test_database_without_utf8_is_refused(postgres: Postgres) -> None:
    """File names of any script are stored, so the encoding must be UTF-8; the error names the actual one."""
    name = sql.Identifier("sft_latin1")
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(name))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'").format(name))
        engine = open_engine(urlsplit(postgres.admin_url)._replace(path="/sft_latin1").geturl())
        with pytest.raises(ConfigurationError, match="LATIN1"):
            migrate.upgrade(engine)
        assert tables(engine) == []
        engine.dispose()
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
