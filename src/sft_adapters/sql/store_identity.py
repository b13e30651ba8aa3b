"""
The store id in the database.
"""

from __future__ import annotations

from typing import Any

import attrs
from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from sft_adapters.sql.errors import map_database_errors
from sft_adapters.sql.tables import marks


@attrs.frozen
class SqlStoreIdentity:
    """
    Implements `sft_core.vault.ports.StoreIdentity` by a table of one row, within one unit of work.
    """

    connection: Connection

    def store_id(self) -> str | None:
        with map_database_errors():
            return self._read()

    def set_store_id(self, store_id: str) -> str:
        dialect: Any = postgresql if self.connection.dialect.name == "postgresql" else sqlite
        with map_database_errors():
            # The insert waits for a concurrent one; the read after it is a separate statement, so it sees that one.
            self.connection.execute(dialect.insert(marks).values(number=1, mark=store_id).on_conflict_do_nothing())
            return self._read() or store_id

    def _read(self) -> str | None:
        store_id: str | None = self.connection.execute(select(marks.c.mark)).scalar_one_or_none()
        return store_id
