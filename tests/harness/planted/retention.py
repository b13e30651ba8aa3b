"""
Broken ends of share links' tokens, planted in the one in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs

from sft_adapters.memory.retention import MemoryExpiredLinkTokens
from sft_adapters.memory.tables import Tables
from sft_core.sharing.model import ShareLink


class DropsTheWholeLink(MemoryExpiredLinkTokens):
    """
    A count of downloads goes with it, and who holds the link is told that there never was one.
    """

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        with self.database() as unit:
            tables = unit.links.write()
            found = self.find_expired(tables, before)[:limit]
            for link in found:
                del tables.links[link.id]
            unit.commit()
        return len(found)


class ForgetsAMomentEarly(MemoryExpiredLinkTokens):
    """
    What ends at the moment counts as over before it.
    """

    def find_expired(self, tables: Tables, before: datetime) -> Sequence[ShareLink]:
        return super().find_expired(tables, before + timedelta(microseconds=1))


class KeepsRevokedOnes(MemoryExpiredLinkTokens):
    """
    Only the expiry is looked at.
    """

    def find_expired(self, tables: Tables, before: datetime) -> Sequence[ShareLink]:
        return [link for link in super().find_expired(tables, before) if link.expires_at < before]


class ForgetsWhatAnAnswerRepeats(MemoryExpiredLinkTokens):
    """
    A request that is sent again cannot be answered as it was.
    """

    def find_expired(self, tables: Tables, before: datetime) -> Sequence[ShareLink]:
        return super().find_expired(attrs.evolve(tables, idempotency_records={}), before)


class ForgetsAllAtOnce(MemoryExpiredLinkTokens):
    """
    The limit is not kept.
    """

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        return super().delete_expired(before=before, limit=limit + 100)


class OnlyCounts(MemoryExpiredLinkTokens):
    """
    Nothing is committed.
    """

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        return min(self.count_expired(before=before), limit)
