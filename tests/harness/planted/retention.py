"""
Broken stores of expired link tokens, based on the in-memory one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs

from sft_adapters.memory.retention import MemoryExpiredLinkTokens
from sft_adapters.memory.tables import Tables
from sft_core.sharing.model import ShareLink


class DeletesTheWholeLink(MemoryExpiredLinkTokens):
    """
    The link is deleted with its token, so its downloads and state are lost.
    """

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        with self.database() as unit:
            tables = unit.links.write()
            found = self.find_expired(tables, before)[:limit]
            for link in found:
                del tables.links[link.id]
            unit.commit()
        return len(found)


class DeletesAMomentEarly(MemoryExpiredLinkTokens):
    """
    A link that expires exactly at the given time counts as expired before it.
    """

    def find_expired(self, tables: Tables, before: datetime) -> Sequence[ShareLink]:
        return super().find_expired(tables, before + timedelta(microseconds=1))


class KeepsRevokedLinksTokens(MemoryExpiredLinkTokens):
    """
    Only the expiry is checked, not the revocation.
    """

    def find_expired(self, tables: Tables, before: datetime) -> Sequence[ShareLink]:
        return [link for link in super().find_expired(tables, before) if link.expires_at < before]


class IgnoresIdempotencyRecords(MemoryExpiredLinkTokens):
    """
    Idempotency records are ignored, so a repeated request cannot return its link.
    """

    def find_expired(self, tables: Tables, before: datetime) -> Sequence[ShareLink]:
        return super().find_expired(attrs.evolve(tables, idempotency_records={}), before)


class IgnoresTheBatchLimit(MemoryExpiredLinkTokens):
    """
    The limit is ignored.
    """

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        return super().delete_expired(before=before, limit=limit + 100)


class CountsWithoutDeleting(MemoryExpiredLinkTokens):
    """
    Nothing is deleted.
    """

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        return min(self.count_expired(before=before), limit)
