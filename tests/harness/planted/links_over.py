"""
Broken ends of share links' tokens, planted in the one in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs

from sft_adapters.memory.retention import MemoryLinksOver
from sft_adapters.memory.tables import Tables
from sft_core.sharing.model import ShareLink


class DropsTheWholeLink(MemoryLinksOver):
    """
    A count of downloads goes with it, and who holds the link is told that there never was one.
    """

    def prune(self, *, before: datetime, limit: int) -> int:
        with self.database() as unit:
            tables = unit.links.write()
            found = self.found(tables, before)[:limit]
            for link in found:
                del tables.links[link.id]
            unit.commit()
        return len(found)


class ForgetsAMomentEarly(MemoryLinksOver):
    """
    What ends at the moment counts as over before it.
    """

    def found(self, tables: Tables, before: datetime) -> Sequence[ShareLink]:
        return super().found(tables, before + timedelta(microseconds=1))


class KeepsRevokedOnes(MemoryLinksOver):
    """
    Only the expiry is looked at.
    """

    def found(self, tables: Tables, before: datetime) -> Sequence[ShareLink]:
        return [link for link in super().found(tables, before) if link.expires_at < before]


class ForgetsWhatAnAnswerRepeats(MemoryLinksOver):
    """
    A request that is sent again cannot be answered as it was.
    """

    def found(self, tables: Tables, before: datetime) -> Sequence[ShareLink]:
        return super().found(attrs.evolve(tables, answers={}), before)


class ForgetsAllAtOnce(MemoryLinksOver):
    """
    The limit is not kept.
    """

    def prune(self, *, before: datetime, limit: int) -> int:
        return super().prune(before=before, limit=limit + 100)


class OnlyCounts(MemoryLinksOver):
    """
    Nothing is committed.
    """

    def prune(self, *, before: datetime, limit: int) -> int:
        return min(self.over(before=before), limit)
