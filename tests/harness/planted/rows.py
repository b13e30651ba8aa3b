"""
Broken units of work, repositories and session stores, planted in those in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    The forgotten rollback: leaving a unit publishes what it did.
    """

    def _closing(self, unit: MemoryUnit) -> Iterator[MemoryUnit]:
        try:
            yield unit
        finally:
            if unit._publish is not None and unit._tables is not None:
                unit._publish(unit._tables)
            unit.close()


class DirtyReads(MemoryDatabase):
    """
    A reader sees what a writer has not committed.
    """

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        if read_only:
            unit = MemoryUnit(Tables(), None)
            unit._tables = self._under_way if self._under_way is not None else self._committed
            yield from self._closing(unit)
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
    The counter that is read and then written: writers do not wait for one another, the last one wins.
    """

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        if read_only:
            yield from self._closing(MemoryUnit(self._committed, None))
            return
        yield from self._closing(MemoryUnit(self._committed.copy(), self._late))

    def _late(self, tables: Tables) -> None:
        time.sleep(0.01)
        self._publish(tables)


class WritesInReadOnlyUnits(MemoryDatabase):
    """
    A read-only unit that is one by name only: what it changes is there afterwards.
    """

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        if not read_only:
            with super().__call__() as unit:
                yield unit
            return
        before = self._committed
        tables = before.copy()
        yield from self._closing(MemoryUnit(tables, self._publish))
        if tables != before:
            self._publish(tables)


class SwallowsTheSecondCommit(MemoryDatabase):
    """
    An error that is swallowed: a commit that cannot be is answered as if it had been.
    """

    def _closing(self, unit: MemoryUnit) -> Iterator[MemoryUnit]:
        commit = unit.commit

        def quietly() -> None:
            try:
                commit()
            except DatabaseUnavailable:
                if not unit._writable:
                    raise

        unit.commit = quietly  # type: ignore[method-assign]  # the bug
        yield from super()._closing(unit)


@attrs.frozen
class With:
    """
    The database in memory with one of its repositories replaced by a broken one.
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


class SavesOverAnyRevision(Users):
    """
    A save that does not look whether somebody else saved meanwhile.
    """

    def save(self, user: User) -> User:
        stored = self.get(user.id)
        return super().save(attrs.evolve(user, revision=stored.revision) if stored else user)


class ComparesNamesAsTyped(Users):
    """
    User names that differ by case or width are taken for two.
    """

    def add(self, user: User) -> None:
        if any(other.email == user.email or other.username == user.username for other in self.read().users.values()):
            super().add(user)
        self.write().users[user.id] = user


class SpendsAStepAgain(Users):
    """
    A step that is not earlier than the last one counts, so the last one counts twice.
    """

    def record_sign_in(self, user_id: UserId, at: datetime, totp_step: int | None) -> bool:
        user = self.get(user_id)
        time.sleep(0.01)  # the others have looked meanwhile, and found the step unspent
        if user is not None and user.totp is not None and totp_step == user.totp.last_step:
            unspent = attrs.evolve(user.totp, last_step=totp_step - 1)
            self.write().users[user_id] = attrs.evolve(user, totp=unspent)
        return super().record_sign_in(user_id, at, totp_step)


class SignsInWhoIsSwitchedOff(Users):
    """
    Whether the account is active is not part of the condition.
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


class AddsOverAFile(Files):
    """
    A file that takes the place of another one of its id.
    """

    def add(self, file: File) -> None:
        self.write().files[file.id] = file


class ListsOldestFirst(Files):
    """
    A listing in the wrong order.
    """

    def list_sealed(self, owner: UserId, page: Page, *, now: datetime) -> Sequence[File]:
        newest_first = super().list_sealed(owner, Page(limit=1000), now=now)
        return list(reversed(newest_first))[page.skip : page.skip + page.limit]


class ListsEverybodysFiles(Files):
    """
    A listing without its owner.
    """

    def list_sealed(self, owner: UserId, page: Page, *, now: datetime) -> Sequence[File]:
        owners = {file.owner for file in self.read().files.values()} | {owner}
        files = [
            file
            for each in owners
            for file in super(ListsEverybodysFiles, self).list_sealed(each, Page(limit=1000), now=now)
        ]
        newest_first = sorted(files, key=lambda file: (file.created_at, file.id), reverse=True)
        return newest_first[page.skip : page.skip + page.limit]


class ListsWhatHasExpired(Files):
    """
    A listing that shows a file after its end.
    """

    def list_sealed(self, owner: UserId, page: Page, *, now: datetime) -> Sequence[File]:
        return super().list_sealed(owner, page, now=now - timedelta(days=9))


class ListsWhatIsUnderWay(Files):
    """
    A listing that shows what is not sealed.
    """

    def list_sealed(self, owner: UserId, page: Page, *, now: datetime) -> Sequence[File]:
        files = [file for file in self.read().files.values() if file.owner == owner and not file.is_expired(now)]
        newest_first = sorted(files, key=lambda file: (file.created_at, file.id), reverse=True)
        return newest_first[page.skip : page.skip + page.limit]


class ReplacesInAnyState(Files):
    """
    A change of state that is no compare-and-set.
    """

    def replace(self, file: File, *, expected: FileState) -> bool:
        stored = self.get(file.id)
        return super().replace(file, expected=stored.state if stored else expected)


class ForgetsToDelete(Files):
    """
    The lost delete: the change is answered and not made.
    """

    def replace(self, file: File, *, expected: FileState) -> bool:
        stored = self.get(file.id)
        if file.state is FileState.DELETING:
            return stored is not None and stored.state is expected
        return super().replace(file, expected=expected)


class RemovesSealedFiles(Files):
    """
    A removal that does not look at the state.
    """

    def remove(self, file_id: FileId) -> None:
        files, file = self.write().files, self.get(file_id)
        if file is not None:
            files[file_id] = attrs.evolve(file, state=FileState.DELETING)
        super().remove(file_id)


class ForgetsThatItMoved(Files):
    """
    When bytes of an upload last came is not stored.
    """

    def replace(self, file: File, *, expected: FileState) -> bool:
        stored = self.get(file.id) or file
        return super().replace(attrs.evolve(file, touched_at=stored.touched_at), expected=expected)


class MissesThePartBefore(Manifests):
    """
    The part that begins before the span and reaches into it is not found.
    """

    def covering(self, file_id: FileId, span: ByteRange, *, limit: int) -> Sequence[Part]:
        found = super().covering(file_id, span, limit=limit + 1)
        return [part for part in found if part.start >= span.start][:limit]


class AppendsOverANumber(Manifests):
    """
    A part of a number that is taken replaces the one that is there.
    """

    def append(self, file_id: FileId, parts: Sequence[Part]) -> None:
        stored = self.write().parts
        numbers = {part.number for part in parts}
        stored[file_id] = tuple(part for part in stored.get(file_id, ()) if part.number not in numbers)
        super().append(file_id, parts)
