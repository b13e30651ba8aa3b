"""
Broken quotas, planted in those in memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from sft_adapters.memory.database import MemoryDatabase, MemoryUnit
from sft_adapters.memory.tables import Files, Quotas, Tables
from sft_core.errors import UploadAborted
from sft_core.values import FileId, UserId
from sft_core.vault.model import DELETION_STATES, FileState


class ReadsThenCounts(MemoryDatabase):
    """
    A sum that is read, looked at, and written: it takes those that came meanwhile for nothing.
    """

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        before = dict(self._committed.usages)
        if not read_only:
            time.sleep(0.01)  # the others have looked meanwhile
        with super().__call__(read_only=read_only) as unit:
            if not read_only and unit._tables is not None:
                unit._tables.usages = before
            yield unit


class IgnoresTheLimit(Quotas):
    """
    A limit that is configured, shown, and not enforced.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:  # noqa: ARG002 (the bug)
        return super().reserve(file_id, size, limit=None)


class LetsGrowthGo(Quotas):
    """
    Only the first hold of a file is held against the limit.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        first = not self.read().reservations.get(file_id)
        return super().reserve(file_id, size, limit=limit if first else None)


class RefusesTheLastByte(Quotas):
    """
    Less than the limit, where it should be at most.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        return super().reserve(file_id, size, limit=None if limit is None else limit - 1)


class TakesAByteMore(Quotas):
    """
    The limit is looked at before the last byte is counted.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        return super().reserve(file_id, size, limit=None if limit is None else limit + 1)


class RefusesToShrink(Quotas):
    """
    Who is over the limit may not even hold less.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        file = self.read().files.get(file_id)
        held = self.read().reservations.get(file_id, 0)
        if file is not None and limit is not None and size < held and self.used(file.owner) - held + size > limit:
            return False
        return super().reserve(file_id, size, limit=limit)


class CountsRefusals(Quotas):
    """
    The sum is changed first and looked at afterwards; the unit is committed all the same.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        more = size - self.read().reservations.get(file_id, 0)
        super().reserve(file_id, size, limit=None)
        return more <= 0 or limit is None or self.used(self.read().files[file_id].owner) <= limit


class AddsToWhatIsHeld(Quotas):
    """
    What is said is added to what the file holds, and does not take its place.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        return super().reserve(file_id, size + self.read().reservations.get(file_id, 0), limit=limit)


class CountsEverybodyTogether(Quotas):
    """
    A sum without its owner.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        more = size - self.read().reservations.get(file_id, 0)
        if more > 0 and limit is not None and sum(self.read().usages.values()) + more > limit:
            return False
        return super().reserve(file_id, size, limit=limit)


class NeverReleases(Quotas):
    """
    The forgotten release: until the row goes, its owner goes on paying for it.
    """

    def release(self, file_id: FileId) -> None:  # noqa: ARG002 (the bug)
        self.write()


class ReleasesTheFileAlone(Quotas):
    """
    What the file holds is taken from the file, and not from the sum: its owner pays for nothing, for good.
    """

    def release(self, file_id: FileId) -> None:
        before = dict(self.read().usages)
        super().release(file_id)
        self.write().usages = before


class RemovesWhatStillHolds(Files):
    """
    The row goes, and its owner goes on paying for what it held.
    """

    def remove(self, file_id: FileId) -> None:
        tables = self.write()
        before = dict(tables.usages)
        super().remove(file_id)
        tables.usages = before


class ReleasesAgain(Quotas):
    """
    What is given back is not noted, so a second time gives it back again.
    """

    def release(self, file_id: FileId) -> None:
        held = self.read().reservations.get(file_id, 0)
        super().release(file_id)
        if file_id in self.read().files:
            self.write().reservations[file_id] = held


class ReleasesInAnyState(Quotas):
    """
    A release that does not look whether the file is over.
    """

    def release(self, file_id: FileId) -> None:
        files, file = self.write().files, self.read().files.get(file_id)
        if file is None:
            return
        files[file_id] = attrs.evolve(file, state=FileState.DELETING)
        super().release(file_id)
        files[file_id] = file


class HoldsForTheCondemned(Quotas):
    """
    Whether the file is still there is not part of the condition.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        files, file = self.write().files, self.read().files.get(file_id)
        if file is None or file.state not in DELETION_STATES:
            return super().reserve(file_id, size, limit=limit)
        files[file_id] = attrs.evolve(file, state=FileState.RECEIVING)
        try:
            return super().reserve(file_id, size, limit=limit)
        finally:
            files[file_id] = file


class HoldsForNobody(Quotas):
    """
    A hold of a file that is gone is taken for done.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        try:
            return super().reserve(file_id, size, limit=limit)
        except UploadAborted:
            return True


class SumsWhatIsUnderWayOnly(Quotas):
    """
    What is sealed no longer counts.
    """

    def used(self, owner: UserId) -> int:
        tables: Tables = self.read()
        files = (file for file in tables.files.values() if file.owner == owner and file.state is not FileState.SEALED)
        return sum(tables.reservations.get(file.id, 0) for file in files)
