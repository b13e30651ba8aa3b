"""
Broken quota repositories, based on the in-memory one.
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


class ReadsThenReserves(MemoryDatabase):
    """
    Read, check and write are separate steps, so concurrent reservations are lost.
    """

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        before = dict(self._committed.usages)
        if not read_only:
            time.sleep(0.01)  # Other threads read the same sum meanwhile.
        with super().__call__(read_only=read_only) as unit:
            if not read_only and unit._tables is not None:
                unit._tables.usages = before
            yield unit


class IgnoresTheLimit(Quotas):
    """
    The limit is configured and shown, but not enforced.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:  # noqa: ARG002 (the bug)
        return super().reserve(file_id, size, limit=None)


class IgnoresTheLimitOnGrowth(Quotas):
    """
    Only a file's first reservation is compared with the limit.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        first = not self.read().reservations.get(file_id)
        return super().reserve(file_id, size, limit=limit if first else None)


class RefusesTheLastByte(Quotas):
    """
    The use must be below the limit instead of at most the limit.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        return super().reserve(file_id, size, limit=None if limit is None else limit - 1)


class AllowsAByteMore(Quotas):
    """
    The limit is exceeded by one byte.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        return super().reserve(file_id, size, limit=None if limit is None else limit + 1)


class RefusesToShrink(Quotas):
    """
    An owner above the limit cannot shrink a reservation.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        file = self.read().files.get(file_id)
        held = self.read().reservations.get(file_id, 0)
        if file is not None and limit is not None and size < held and self.used(file.owner) - held + size > limit:
            return False
        return super().reserve(file_id, size, limit=limit)


class CountsRefusedReservations(Quotas):
    """
    The sum is changed before the check, and a refusal does not undo it.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        more = size - self.read().reservations.get(file_id, 0)
        super().reserve(file_id, size, limit=None)
        return more <= 0 or limit is None or self.used(self.read().files[file_id].owner) <= limit


class AddsToTheReservation(Quotas):
    """
    A reservation is added to the previous one instead of replacing it.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        return super().reserve(file_id, size + self.read().reservations.get(file_id, 0), limit=limit)


class CountsEveryOwnerTogether(Quotas):
    """
    The sum includes every owner.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        more = size - self.read().reservations.get(file_id, 0)
        if more > 0 and limit is not None and sum(self.read().usages.values()) + more > limit:
            return False
        return super().reserve(file_id, size, limit=limit)


class NeverReleases(Quotas):
    """
    A release does nothing, so the bytes are reserved until the row is removed.
    """

    def release(self, file_id: FileId) -> None:  # noqa: ARG002 (the bug)
        self.write()


class ReleasesTheFileOnly(Quotas):
    """
    A release frees the file's reservation, but the owner's sum stays too high.
    """

    def release(self, file_id: FileId) -> None:
        before = dict(self.read().usages)
        super().release(file_id)
        self.write().usages = before


class RemovesWithoutRelease(Files):
    """
    Removing a file does not release its reservation.
    """

    def remove(self, file_id: FileId) -> None:
        tables = self.write()
        before = dict(tables.usages)
        super().remove(file_id)
        tables.usages = before


class ReleasesAgain(Quotas):
    """
    A release is not recorded, so a second one frees the bytes again.
    """

    def release(self, file_id: FileId) -> None:
        held = self.read().reservations.get(file_id, 0)
        super().release(file_id)
        if file_id in self.read().files:
            self.write().reservations[file_id] = held


class ReleasesInAnyState(Quotas):
    """
    A release does not check the file's state.
    """

    def release(self, file_id: FileId) -> None:
        files, file = self.write().files, self.read().files.get(file_id)
        if file is None:
            return
        files[file_id] = attrs.evolve(file, state=FileState.DELETING)
        super().release(file_id)
        files[file_id] = file


class ReservesForEndedFiles(Quotas):
    """
    The condition of a reservation does not include the file's state.
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


class ReservesForUnknownFiles(Quotas):
    """
    A reservation for an unknown file succeeds.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        try:
            return super().reserve(file_id, size, limit=limit)
        except UploadAborted:
            return True


class SumsUnsealedFilesOnly(Quotas):
    """
    Sealed files are not counted.
    """

    def used(self, owner: UserId) -> int:
        tables: Tables = self.read()
        files = (file for file in tables.files.values() if file.owner == owner and file.state is not FileState.SEALED)
        return sum(tables.reservations.get(file.id, 0) for file in files)
