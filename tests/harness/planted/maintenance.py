"""
Broken upkeep, planted in that in memory.
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


class GivesUpWhatMoves(ReclaimableFiles):
    """
    Whether the upload has gone on since it was looked at is not part of the condition.
    """

    def abort_idle(self, file_id: FileId, *, since: IdleCutoffs, now: datetime) -> bool:
        file = self.read().files.get(file_id)
        if file is not None:
            since = IdleCutoffs(
                resumable=max(since.resumable, file.touched_at), non_resumable=max(since.non_resumable, file.touched_at)
            )
        return super().abort_idle(file_id, since=since, now=now)


class KeepsTheKey(ReclaimableFiles):
    """
    A state that changes, and a key that stays.
    """

    def abort_idle(self, file_id: FileId, *, since: IdleCutoffs, now: datetime) -> bool:
        before = self.read().files.get(file_id)
        won = super().abort_idle(file_id, since=since, now=now)
        if won and before is not None:
            self.write().files[file_id] = attrs.evolve(before, state=FileState.ABORTING)
        return won


class EndsAMomentLate(ReclaimableFiles):
    """
    A file's last moment is taken for one of its life.
    """

    def expired(self, *, by: datetime, after: FileId | None, limit: int) -> Sequence[FileId]:
        return super().expired(by=by - timedelta(microseconds=1), after=after, limit=limit)


class EndsWhatWasLookedAt(ReclaimableFiles):
    """
    Whether the file's end has been moved since it was looked at is not part of the condition.
    """

    def expire(self, file_id: FileId, *, by: datetime, now: datetime) -> bool:
        file = self.read().files.get(file_id)
        end = None if file is None else file.expires_at
        return super().expire(file_id, by=by if end is None else max(by, end), now=now)


class KeepsTheKeyOfWhatExpired(ReclaimableFiles):
    """
    A state that changes, and a key that stays.
    """

    def expire(self, file_id: FileId, *, by: datetime, now: datetime) -> bool:
        before = self.read().files.get(file_id)
        won = super().expire(file_id, by=by, now=now)
        if won and before is not None:
            self.write().files[file_id] = attrs.evolve(before, state=FileState.DELETING)
        return won


class StopsAtTheFirstPage(ReclaimableFiles):
    """
    A look that begins anew each time, as long as there is something: what fails once hides the rest.
    """

    def in_deletion(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        return super().in_deletion(after=None, limit=limit) if after is None else []


class LeavesEmptyPartsOut(Inventory):
    """
    The parts that hold a byte, where all are asked for.
    """

    def parts(self, file_id: FileId, *, after: int, limit: int) -> Sequence[Part]:
        return [part for part in super().parts(file_id, after=after, limit=limit) if part.size]


class ComparesTheSumsOnly(QuotaAudit):
    """
    Two errors that cancel out are none.
    """

    def drifts(self) -> Sequence[QuotaDrift]:
        return [drift for drift in super().drifts() if drift.recorded != drift.actual]


class CountsTheSumOnly(QuotaAudit):
    """
    A recount that believes what the files say they hold.
    """

    def recount(self, owner: UserId) -> None:
        before = dict(self.read().reservations)
        super().recount(owner)
        self.write().reservations.update(before)


class TellsOneThingThatLacks(IntegrityRows):
    """
    Of several things that are not there, the first.
    """

    def page(self, kind: RowKind, *, after: UUID | None, limit: int) -> Sequence[IntegrityRow]:
        return [_with_one(record) for record in super().page(kind, after=after, limit=limit)]

    def get(self, kind: RowKind, row_id: UUID) -> IntegrityRow | None:
        found = super().get(kind, row_id)
        return _with_one(found) if found is not None else None


def _with_one(record: IntegrityRow) -> IntegrityRow:
    return attrs.evolve(record, missing=frozenset(sorted(record.missing)[:1]))


class LeavesSoundRowsOut(IntegrityRows):
    """
    A page of what is wrong: where there is nothing of that, it looks like the end.
    """

    def page(self, kind: RowKind, *, after: UUID | None, limit: int) -> Sequence[IntegrityRow]:
        return [record for record in super().page(kind, after=after, limit=limit) if record.missing]


class FindsAnyRow(IntegrityRows):
    """
    The row with this id, or else the next one.
    """

    def get(self, kind: RowKind, row_id: UUID) -> IntegrityRow | None:
        return super().get(kind, row_id) or next(iter(self.page(kind, after=None, limit=1)), None)


class LastsForEver(MemoryLeases):
    """
    A lease that a dead holder keeps.
    """

    def acquire(self, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
        return super().acquire(name, holder=holder, now=datetime.min.replace(tzinfo=now.tzinfo), until=until)


class GivesBackAnyones(MemoryLeases):
    """
    Whose lease it is is not looked at.
    """

    def release(self, name: str, *, holder: str) -> None:
        super().release(name, holder=self._leases[name][0] if name in self._leases else holder)


class MarksTheDatabaseAnew(StoreIdentity):
    """
    A mark that the last one who sets it replaces.
    """

    def set_store_id(self, store_id: str) -> str:
        self.write().store_id = store_id
        return store_id


class MarksAtOnce(StoreIdentity):
    """
    A mark that is set without a commit, and by units that only read.
    """

    def set_store_id(self, store_id: str) -> str:
        tables = self.read()
        tables.store_id = tables.store_id or store_id
        return tables.store_id
