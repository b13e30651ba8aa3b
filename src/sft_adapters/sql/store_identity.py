"""
The store id in the database.
"""

from __future__ import annotations

from typing import Any

import attrs
from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from sft_adapters.sql.errors import translated
from sft_adapters.sql.tables import marks


@attrs.frozen
class SqlMark:
    """
    Implements `sft_core.vault.ports.StoreIdentity` by a table of one row, within one unit of work.
    """

    connection: Connection

    def mark(self) -> str | None:
        with translated():
            return self._found()

    def set_mark(self, mark: str) -> str:
        dialect: Any = postgresql if self.connection.dialect.name == "postgresql" else sqlite
        with translated():
            # The insert waits for a concurrent one; the read after it is a separate statement, so it sees that one.
            self.connection.execute(dialect.insert(marks).values(number=1, mark=mark).on_conflict_do_nothing())
            return self._found() or mark

    def _found(self) -> str | None:
        mark: str | None = self.connection.execute(select(marks.c.mark)).scalar_one_or_none()
        return mark
