"""
The schema: brought up to date, or checked, by Alembic's migrations in `migrations/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, select, text

from sft_adapters.sql.transactions import transaction
from sft_core.errors import ConfigurationError

MIGRATION_SECONDS: Final = 600.0
"""How long one statement of a migration may take, and how long a second migration waits for the first."""

LOCK: Final = 0x736674
"""The number of the advisory lock that migrations hold on PostgreSQL: `sft` in ASCII."""


def upgrade(
    engine: Engine,
    revision: str = "head",
    *,
    seconds: float = MIGRATION_SECONDS,
    then: Callable[[Connection], None] | None = None,
) -> None:
    """
    Bring the schema to a revision in one transaction; of two that start at once one waits.

    `then` has its turn in the same transaction: if it raises, nothing is changed. `ConfigurationError`
    if the schema was made by a newer version than this, or if the database cannot hold every character.
    """
    with _alone(engine, seconds) as connection:
        _refuse_encoding(connection)
        _refuse_newer(connection)
        command.upgrade(_config(connection), revision)
        if then is not None:
            then(connection)


def downgrade(engine: Engine, revision: str, *, seconds: float = MIGRATION_SECONDS) -> None:
    """
    Take the schema back to an earlier revision; `base` is an empty database.
    """
    with _alone(engine, seconds) as connection:
        command.downgrade(_config(connection), revision)


@contextmanager
def _alone(engine: Engine, seconds: float) -> Iterator[Connection]:
    """
    A transaction that no other migration runs beside: SQLite has one writer, PostgreSQL a lock.
    """
    with transaction(engine, seconds=seconds) as (connection, begun):
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        yield connection
        begun.commit()


def current(engine: Engine) -> str | None:
    """
    The revision the schema is at; None if there is none yet.
    """
    with transaction(engine, read_only=True) as (connection, _):
        return _current(connection)


def check(engine: Engine) -> None:
    """
    Raise `ConfigurationError` unless the schema is the one this version works with.
    """
    with transaction(engine, read_only=True) as (connection, _):
        _refuse_newer(connection)
        if _current(connection) != _head():
            raise ConfigurationError("the database schema is older than this version: run `sft migrate`")


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(connection: Connection) -> None:
    known = {script.revision for script in scripts().walk_revisions()}
    revision = _current(connection)
    if revision is not None and revision not in known:
        raise ConfigurationError(f"the database schema {revision!r} was made by a newer version than this one")


def _refuse_encoding(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
        if encoding != "UTF8":
            raise ConfigurationError(f"the database's encoding is {encoding}: make it with ENCODING 'UTF8'")


def _head() -> str | None:
    return scripts().get_current_head()


def scripts() -> ScriptDirectory:
    """
    The migrations there are.
    """
    return ScriptDirectory.from_config(_config(None))


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
