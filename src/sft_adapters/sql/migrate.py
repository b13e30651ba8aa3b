"""
The schema: brought up to date, or checked, by Alembic's migrations in `migrations/`.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from sft_adapters.sql.engine import transaction
from sft_core.errors import ConfigurationError


def upgrade(engine: Engine, revision: str = "head") -> None:
    """
    Bring the schema to a revision in one transaction; of two that start at once one waits.

    `ConfigurationError` if the schema was made by a newer version than this.
    """
    with transaction(engine) as (connection, begun):
        _refuse_newer(connection)
        command.upgrade(_config(connection), revision)
        begun.commit()


def downgrade(engine: Engine, revision: str) -> None:
    """
    Take the schema back to an earlier revision; `base` is an empty database.
    """
    with transaction(engine) as (connection, begun):
        command.downgrade(_config(connection), revision)
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
    known = {script.revision for script in _scripts().walk_revisions()}
    revision = _current(connection)
    if revision is not None and revision not in known:
        raise ConfigurationError(f"the database schema {revision!r} was made by a newer version than this one")


def _head() -> str | None:
    return _scripts().get_current_head()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(None))


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
