"""
A SQLite file with the schema in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from sft_adapters.sql import migrate
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import open_engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'sft.db'}", busy_seconds=20)
    migrate.upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def database(engine: Engine) -> SqlDatabase:
    return SqlDatabase(engine)
