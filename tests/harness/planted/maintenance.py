"""
Broken maintenance repositories and leases, based on the in-memory ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import attrs

from sft_adapters.memory.integrity import IntegrityRows
from sft_adapters.memory.leases import MemoryLeases
from sft_adapters.memory.maintenance import Inventory, QuotaAudit, ReclaimableFiles, StoreIdentity
from sft_core.maintenance.ports import IdleCutoffs, IntegrityRow, QuotaDrift, RowKind
from sft_core.values import FileId, UserId
from sft_core.vault.model import FileState, Part


class AbortsActiveUploads(ReclaimableFiles):
    """
    The condition of the update does not include the time of the last byte.
    """

    def abort_idle(self, file_id: FileId, *, since: IdleCutoffs, now: datetime) -> bool:
        file = self.read().files.get(file_id)
        if file is not None:
            since = IdleCutoffs(
                resumable=max(since.resumable, file.touched_at), non_resumable=max(since.non_resumable, file.touched_at)
            )
        return super().abort_idle(file_id, since=since, now=now)


class KeepsTheKeyOfAbortedUploads(ReclaimableFiles):
    """
    The state changes, but the key is not destroyed.
    """

    def abort_idle(self, file_id: FileId, *, since: IdleCutoffs, now: datetime) -> bool:
        before = self.read().files.get(file_id)
        won = super().abort_idle(file_id, since=since, now=now)
        if won and before is not None:
            self.write().files[file_id] = attrs.evolve(before, state=FileState.ABORTING)
        return won


class ExpiresAMomentLate(ReclaimableFiles):
    """
    A file is not listed at its expiry time, only after it.
    """

    def expired(self, *, by: datetime, after: FileId | None, limit: int) -> Sequence[FileId]:
        return super().expired(by=by - timedelta(microseconds=1), after=after, limit=limit)


class IgnoresANewExpiry(ReclaimableFiles):
    """
    The condition of the update does not include the expiry time.
    """

    def expire(self, file_id: FileId, *, by: datetime, now: datetime) -> bool:
        file = self.read().files.get(file_id)
        end = None if file is None else file.expires_at
        return super().expire(file_id, by=by if end is None else max(by, end), now=now)


class KeepsTheKeyOfExpiredFiles(ReclaimableFiles):
    """
    The state changes, but the key is not destroyed.
    """

    def expire(self, file_id: FileId, *, by: datetime, now: datetime) -> bool:
        before = self.read().files.get(file_id)
        won = super().expire(file_id, by=by, now=now)
        if won and before is not None:
            self.write().files[file_id] = attrs.evolve(before, state=FileState.DELETING)
        return won


class StopsAtTheFirstPage(ReclaimableFiles):
    """
    Only the first page is returned, so a file whose deletion fails hides later ones.
    """

    def in_deletion(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        return super().in_deletion(after=None, limit=limit) if after is None else []


class OmitsEmptyParts(Inventory):
    """
    Empty parts are omitted.
    """

    def parts(self, file_id: FileId, *, after: int, limit: int) -> Sequence[Part]:
        return [part for part in super().parts(file_id, after=after, limit=limit) if part.size]


class ComparesTheSumsOnly(QuotaAudit):
    """
    Two errors that cancel out are not reported.
    """

    def drifts(self) -> Sequence[QuotaDrift]:
        return [drift for drift in super().drifts() if drift.recorded != drift.actual]


class RecountsTheSumOnly(QuotaAudit):
    """
    A recount trusts the reservations of the files.
    """

    def recount(self, owner: UserId) -> None:
        before = dict(self.read().reservations)
        super().recount(owner)
        self.write().reservations.update(before)


class ReportsOneMissingReference(IntegrityRows):
    """
    Of several missing references only one is reported.
    """

    def page(self, kind: RowKind, *, after: UUID | None, limit: int) -> Sequence[IntegrityRow]:
        return [_with_one(record) for record in super().page(kind, after=after, limit=limit)]

    def get(self, kind: RowKind, row_id: UUID) -> IntegrityRow | None:
        found = super().get(kind, row_id)
        return _with_one(found) if found is not None else None


def _with_one(record: IntegrityRow) -> IntegrityRow:
    return attrs.evolve(record, missing=frozenset(sorted(record.missing)[:1]))


class OmitsIntactRows(IntegrityRows):
    """
    Intact rows are omitted, so a page without broken rows looks like the end.
    """

    def page(self, kind: RowKind, *, after: UUID | None, limit: int) -> Sequence[IntegrityRow]:
        return [record for record in super().page(kind, after=after, limit=limit) if record.missing]


class ReturnsTheNextRow(IntegrityRows):
    """
    The next row is returned if no row has the id.
    """

    def get(self, kind: RowKind, row_id: UUID) -> IntegrityRow | None:
        return super().get(kind, row_id) or next(iter(self.page(kind, after=None, limit=1)), None)


class NeverExpires(MemoryLeases):
    """
    A lease never expires, so a dead holder keeps it.
    """

    def acquire(self, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
        return super().acquire(name, holder=holder, now=datetime.min.replace(tzinfo=now.tzinfo), until=until)


class ReleasesAnyLease(MemoryLeases):
    """
    A release does not compare the holder.
    """

    def release(self, name: str, *, holder: str) -> None:
        super().release(name, holder=self._leases[name][0] if name in self._leases else holder)


class ReplacesTheStoreId(StoreIdentity):
    """
    A later store id replaces the first one.
    """

    def set_store_id(self, store_id: str) -> str:
        self.write().store_id = store_id
        return store_id


class SetsTheStoreIdWithoutCommit(StoreIdentity):
    """
    The store id is set without a commit, and by read-only units.
    """

    def set_store_id(self, store_id: str) -> str:
        tables = self.read()
        tables.store_id = tables.store_id or store_id
        return tables.store_id
