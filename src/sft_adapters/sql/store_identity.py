"""
The store id in the database.
"""

from __future__ import annotations

from sqlalchemy import select

from sft_adapters.sql.repository import Repository
from sft_adapters.sql.tables import marks


class SqlStoreIdentity(Repository):
    """
    Implements `sft_core.vault.ports.StoreIdentity` by a table of one row, within one unit of work.
    """

    def store_id(self) -> str | None:
        store_id: str | None = self.connection.execute(select(marks.c.mark)).scalar_one_or_none()
        return store_id

    def set_store_id(self, store_id: str) -> str:
        # The insert waits for a concurrent one; the read after it is a separate statement, so it sees that one.
        self.connection.execute(self._insert(marks).values(number=1, mark=store_id).on_conflict_do_nothing())
        return self.store_id() or store_id
