"""
Upgrade, downgrade or check the schema by Alembic's migrations in `migrations/`.
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

from sft_adapters.sql.transactions import committing, transaction
from sft_core.errors import ConfigurationError

MIGRATION_SECONDS: Final = 600.0
"""The time in seconds for one statement of a migration, and for a second migration to wait for the first."""

LOCK: Final = 0x736674
"""The number of the advisory lock of migrations on PostgreSQL: `sft` in ASCII."""


def upgrade(
    engine: Engine,
    revision: str = "head",
    *,
    seconds: float = MIGRATION_SECONDS,
    before_commit: Callable[[Connection], None] | None = None,
) -> None:
    """
    Upgrade the schema to a revision in one transaction.

    Concurrent upgrades run one after the other. `before_commit` runs in the same transaction: if it raises,
    nothing is changed. Raises `ConfigurationError` if the schema was created by a newer version, or the database's
    encoding is not UTF-8.
    """
    with _exclusive(engine, seconds) as connection:
        _require_utf8(connection)
        _require_known_revision(connection)
        command.upgrade(_config(connection), revision)
        if before_commit is not None:
            before_commit(connection)


def downgrade(engine: Engine, revision: str, *, seconds: float = MIGRATION_SECONDS) -> None:
    """
    Downgrade the schema to an earlier revision; `base` is an empty database.
    """
    with _exclusive(engine, seconds) as connection:
        command.downgrade(_config(connection), revision)


@contextmanager
def _exclusive(engine: Engine, seconds: float) -> Iterator[Connection]:
    # SQLite has one writer, PostgreSQL a lock, so the transaction excludes other migrations.
    with committing(engine, seconds=seconds) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        yield connection


def current(engine: Engine) -> str | None:
    """
    Return the revision of the schema; None if there is no schema.
    """
    with transaction(engine, read_only=True) as (connection, _):
        return _current(connection)


def check(engine: Engine) -> None:
    """
    Raise `ConfigurationError` if the schema is older or newer than this version.
    """
    with transaction(engine, read_only=True) as (connection, _):
        _require_known_revision(connection)
        if _current(connection) != scripts().get_current_head():
            raise ConfigurationError("the database schema is older than this version: run `sft migrate`")


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _require_known_revision(connection: Connection) -> None:
    known = {script.revision for script in scripts().walk_revisions()}
    revision = _current(connection)
    if revision is not None and revision not in known:
        raise ConfigurationError(f"the database schema {revision!r} was made by a newer version than this one")


def _require_utf8(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
        if encoding != "UTF8":
            raise ConfigurationError(f"the database's encoding is {encoding}: create it with ENCODING 'UTF8'")


def scripts() -> ScriptDirectory:
    """
    Return the directory of the migrations.
    """
    return ScriptDirectory.from_config(_config(None))


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
