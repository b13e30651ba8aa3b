"""
What is over some day in the database in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs

from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.tables import Tables
from sft_core.sharing.model import ShareLink


@attrs.frozen
class MemoryLinksOver:
    """
    Implements `sft_core.ports.Expiring` for the tokens of share links that have expired or were revoked.

    The rest of the link stays, and so does a token that an answer repeats which was kept until then.
    """

    database: MemoryDatabase

    def over(self, *, before: datetime) -> int:
        with self.database(read_only=True) as unit:
            return len(self.found(unit.links.read(), before))

    def prune(self, *, before: datetime, limit: int) -> int:
        with self.database() as unit:
            tables = unit.links.write()
            found = self.found(tables, before)[:limit]
            for link in found:
                tables.links[link.id] = attrs.evolve(link, token=None)
            unit.commit()
        return len(found)

    def found(self, tables: Tables, before: datetime) -> Sequence[ShareLink]:
        """
        The links whose token nobody needs any more.
        """
        repeated = {answer.token_digest for answer in tables.answers.values() if answer.expires_at >= before}
        return [
            link
            for link in tables.links.values()
            if link.token is not None and link.token_digest not in repeated and link.ended_before(before)
        ]
