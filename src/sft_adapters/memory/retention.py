"""
Expired link tokens in the database in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs

from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.tables import Tables
from sft_core.sharing.model import ShareLink


@attrs.frozen
class MemoryExpiredLinkTokens:
    """
    Implements `sft_core.ports.ExpiringStore` for the tokens of expired and revoked share links.

    The rest of the link's row is kept. A token is kept while an idempotency record refers to it.
    """

    database: MemoryDatabase

    def count_expired(self, *, before: datetime) -> int:
        with self.database(read_only=True) as unit:
            return len(self.find_expired(unit.links.read(), before))

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        with self.database() as unit:
            tables = unit.links.write()
            found = self.find_expired(tables, before)[:limit]
            for link in found:
                tables.links[link.id] = attrs.evolve(link, token=None)
            unit.commit()
        return len(found)

    def find_expired(self, tables: Tables, before: datetime) -> Sequence[ShareLink]:
        """
        Return the links whose token can be deleted.
        """
        records = tables.idempotency_records.values()
        replayable = {record.token_digest for record in records if record.expires_at >= before}
        return [
            link
            for link in tables.links.values()
            if link.token is not None and link.token_digest not in replayable and link.ended_before(before)
        ]
