"""
A database with the schema in it: a SQLite file, or a PostgreSQL database made from a template.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, delete, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import DropConstraint

from sft_adapters.sql import migrate
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import PostgresTimeouts, open_engine
from sft_adapters.sql.tables import metadata
from sft_adapters.sql.transactions import transaction
from support.servers.backends import Postgres

DATABASES = ["sqlite", "postgres"]
PATIENT = PostgresTimeouts(statement_seconds=40, idle_seconds=40)


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> Iterator[str]:
    """
    The name of a migrated PostgreSQL database without connections.
    """
    with postgres.database() as url:
        engine = open_engine(url)
        migrate.upgrade(engine)
        engine.dispose()
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def migrated_postgres_url(postgres: Postgres, template: str) -> Iterator[str]:
    """
    The URL of a migrated database of a test's own, which the test may reconfigure and break.
    """
    name = f"sft_{secrets.token_hex(8)}"
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        copy, original = sql.Identifier(name), sql.Identifier(template)
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(copy, original))
        yield urlsplit(postgres.admin_url)._replace(path=f"/{name}").geturl()
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(copy))


@pytest.fixture(scope="session")
def shared_postgres_engine(postgres: Postgres) -> Iterator[Engine]:
    with postgres.database() as url:
        engine = open_engine(url, busy_seconds=30, timeouts=PATIENT)
        migrate.upgrade(engine)
        yield engine
        engine.dispose()


@pytest.fixture
def postgres_engine(shared_postgres_engine: Engine) -> Iterator[Engine]:
    """
    A database for tests that only change rows; it is emptied after each of them.
    """
    yield shared_postgres_engine
    with transaction(shared_postgres_engine) as (connection, begun):
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
        begun.commit()


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'sft.db'}", busy_seconds=30)
    migrate.upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture(params=DATABASES)
def engine(request: pytest.FixtureRequest) -> Engine:
    engine: Engine = request.getfixturevalue(f"{request.param}_engine")
    return engine


@pytest.fixture(params=DATABASES)
def unconstrained_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """
    A database of a test's own that does not enforce references.
    """
    if request.param == "sqlite":
        engine: Engine = request.getfixturevalue("sqlite_engine")
        event.listen(engine, "connect", _disable_references)
        # Existing connections still enforce references.
        engine.dispose()
        yield engine
        return
    engine = open_engine(request.getfixturevalue("migrated_postgres_url"))
    with engine.begin() as connection:
        for table in metadata.tables.values():
            for key in table.foreign_key_constraints:
                connection.execute(DropConstraint(key))
    yield engine
    engine.dispose()


def _disable_references(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=OFF")
    cursor.close()


@pytest.fixture
def other_engine(engine: Engine) -> Iterator[Engine]:
    """
    A second engine on the same database, like that of another process.
    """
    url = engine.url.render_as_string(hide_password=False)
    other = open_engine(url, busy_seconds=30, timeouts=PATIENT)
    yield other
    other.dispose()


@pytest.fixture
def database(engine: Engine) -> SqlDatabase:
    return SqlDatabase(engine)


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """
    The URL of a database without a schema.
    """
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
