"""
Broken units of work and repositories, based on the in-memory ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

import attrs

from sft_adapters.memory.database import MemoryDatabase, MemoryUnit
from sft_adapters.memory.tables import Files, Manifests, Tables, Users
from sft_core.errors import DatabaseUnavailable
from sft_core.users.model import User
from sft_core.values import ByteRange, FileId, Page, UserId
from sft_core.vault.model import File, FileState, Part

# --- units of work -----------------------------------------------------------------------------


class CommitsOnLeaving(MemoryDatabase):
    """
    Leaving a unit commits it instead of rolling it back.
    """

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        with super().__call__(read_only=read_only) as unit:
            try:
                yield unit
            finally:
                if unit._publish is not None and unit._tables is not None:
                    unit._publish(unit._tables)


class DirtyReads(MemoryDatabase):
    """
    A reader sees uncommitted changes of a writer.
    """

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        if read_only:
            unit = MemoryUnit(Tables(), None)
            unit._tables = self._under_way if self._under_way is not None else self._committed
            with closing(unit):
                yield unit
            return
        with super().__call__() as unit:
            self._under_way = unit._tables
            try:
                yield unit
            finally:
                self._under_way = None

    _under_way: Tables | None = None


class ReadsThenWrites(MemoryDatabase):
    """
    Writers do not exclude one another, so the last commit overwrites the others.
    """

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        if read_only:
            with super().__call__(read_only=True) as unit:
                yield unit
            return
        with closing(MemoryUnit(self._committed.copy(), self._late)) as unit:
            yield unit

    def _late(self, tables: Tables) -> None:
        time.sleep(0.01)
        self._publish(tables)


class WritesInReadOnlyUnits(MemoryDatabase):
    """
    A read-only unit accepts and publishes changes.
    """

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        if not read_only:
            with super().__call__() as unit:
                yield unit
            return
        before = self._committed
        tables = before.copy()
        with closing(MemoryUnit(tables, self._publish)) as unit:
            yield unit
        if tables != before:
            self._publish(tables)


class SwallowsTheSecondCommit(MemoryDatabase):
    """
    A second commit returns without an error.
    """

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        with super().__call__(read_only=read_only) as unit:
            commit = unit.commit

            def quietly() -> None:
                try:
                    commit()
                except DatabaseUnavailable:
                    if not unit._writable:
                        raise

            unit.commit = quietly  # type: ignore[method-assign]  # the bug
            yield unit


@attrs.frozen
class With:
    """
    The in-memory database with one of its repositories replaced by a broken one.
    """

    name: str
    kind: Callable[..., Any]
    begin: MemoryDatabase = attrs.field(factory=MemoryDatabase)

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        with self.begin(read_only=read_only) as unit:
            setattr(unit, self.name, self.kind(unit._read, unit._write))
            yield unit


# --- users -------------------------------------------------------------------------------------


class IgnoresTheRevision(Users):
    """
    A save does not compare the revision, so it overwrites another caller's save.
    """

    def save(self, user: User) -> User:
        stored = self.get(user.id)
        return super().save(attrs.evolve(user, revision=stored.revision) if stored else user)


class ComparesNamesAsTyped(Users):
    """
    User names that differ in letter case or width are not equal.
    """

    def add(self, user: User) -> None:
        if any(other.email == user.email or other.username == user.username for other in self.read().users.values()):
            super().add(user)
        self.write().users[user.id] = user


class SpendsAStepAgain(Users):
    """
    The last spent step is accepted again.
    """

    def record_sign_in(self, user_id: UserId, at: datetime, totp_step: int | None) -> bool:
        user = self.get(user_id)
        time.sleep(0.01)  # Other threads have read the step as unspent meanwhile.
        if user is not None and user.totp is not None and totp_step == user.totp.last_step:
            unspent = attrs.evolve(user.totp, last_step=totp_step - 1)
            self.write().users[user_id] = attrs.evolve(user, totp=unspent)
        return super().record_sign_in(user_id, at, totp_step)


class SignsInInactiveUsers(Users):
    """
    The condition of a sign-in does not include `is_active`.
    """

    def record_sign_in(self, user_id: UserId, at: datetime, totp_step: int | None) -> bool:
        users, user = self.write().users, self.get(user_id)
        if user is None:
            return False
        users[user_id] = attrs.evolve(user, is_active=True)
        recorded = super().record_sign_in(user_id, at, totp_step)
        users[user_id] = attrs.evolve(users[user_id], is_active=user.is_active)
        return recorded


# --- files and manifests -----------------------------------------------------------------------


class ReplacesExistingFiles(Files):
    """
    Adding a file replaces an existing one with the same id.
    """

    def add(self, file: File) -> None:
        self.write().files[file.id] = file


class ListsOldestFirst(Files):
    """
    A listing is in the wrong order.
    """

    def list_sealed(self, owner: UserId, page: Page, *, now: datetime) -> Sequence[File]:
        newest_first = super().list_sealed(owner, Page(limit=1000), now=now)
        return list(reversed(newest_first))[page.skip : page.skip + page.limit]


class ListsEveryOwnersFiles(Files):
    """
    A listing contains every owner's files.
    """

    def list_sealed(self, owner: UserId, page: Page, *, now: datetime) -> Sequence[File]:
        owners = {file.owner for file in self.read().files.values()} | {owner}
        files = [
            file
            for each in owners
            for file in super(ListsEveryOwnersFiles, self).list_sealed(each, Page(limit=1000), now=now)
        ]
        newest_first = sorted(files, key=lambda file: (file.created_at, file.id), reverse=True)
        return newest_first[page.skip : page.skip + page.limit]


class ListsExpiredFiles(Files):
    """
    A listing contains expired files.
    """

    def list_sealed(self, owner: UserId, page: Page, *, now: datetime) -> Sequence[File]:
        return super().list_sealed(owner, page, now=now - timedelta(days=9))


class ListsUnsealedFiles(Files):
    """
    A listing contains unsealed files.
    """

    def list_sealed(self, owner: UserId, page: Page, *, now: datetime) -> Sequence[File]:
        files = [file for file in self.read().files.values() if file.owner == owner and not file.is_expired(now)]
        newest_first = sorted(files, key=lambda file: (file.created_at, file.id), reverse=True)
        return newest_first[page.skip : page.skip + page.limit]


class ReplacesInAnyState(Files):
    """
    A change of state does not compare the expected state.
    """

    def replace(self, file: File, *, expected: FileState) -> bool:
        stored = self.get(file.id)
        return super().replace(file, expected=stored.state if stored else expected)


class LosesTheDeletion(Files):
    """
    A change to `DELETING` returns True but is not stored.
    """

    def replace(self, file: File, *, expected: FileState) -> bool:
        stored = self.get(file.id)
        if file.state is FileState.DELETING:
            return stored is not None and stored.state is expected
        return super().replace(file, expected=expected)


class RemovesSealedFiles(Files):
    """
    A removal does not check the state.
    """

    def remove(self, file_id: FileId) -> None:
        files, file = self.write().files, self.get(file_id)
        if file is not None:
            files[file_id] = attrs.evolve(file, state=FileState.DELETING)
        super().remove(file_id)


class LosesTouchedAt(Files):
    """
    `touched_at` is not stored.
    """

    def replace(self, file: File, *, expected: FileState) -> bool:
        stored = self.get(file.id) or file
        return super().replace(attrs.evolve(file, touched_at=stored.touched_at), expected=expected)


class MissesAnOverlappingPart(Manifests):
    """
    A part that begins before the span and overlaps it is not returned.
    """

    def covering(self, file_id: FileId, span: ByteRange, *, limit: int) -> Sequence[Part]:
        found = super().covering(file_id, span, limit=limit + 1)
        return [part for part in found if part.start >= span.start][:limit]


class ReplacesExistingParts(Manifests):
    """
    Appending a part replaces an existing one with the same number.
    """

    def append(self, file_id: FileId, parts: Sequence[Part]) -> None:
        stored = self.write().parts
        numbers = {part.number for part in parts}
        stored[file_id] = tuple(part for part in stored.get(file_id, ()) if part.number not in numbers)
        super().append(file_id, parts)
