"""
State machine: processes die at any step of uploads, deletions and sweeps; one sweep restores consistency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sft_adapters.bootstrap.container import memory_application
from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.tables import Tables
from sft_adapters.testkit import budget
from sft_adapters.testkit.contracts.examples import a_user
from sft_core.application import Application
from sft_core.errors import FileNotFound, UploadAborted
from sft_core.maintenance.sweep import SweepResult
from sft_core.values import FileId, FileName
from sft_core.vault.model import File, FileState
from sft_core.vault.ports import Buffer
from sft_core.vault.use_cases import UploadSession
from support.app.library import LIGHT
from support.app.use_cases import with_use_cases

NAME: Final = FileName.parse("notes.txt")
IDLE_HOURS: Final = 2
MARK: Final = "0123456789abcdef" * 2
LATE: Final = datetime.max.replace(tzinfo=UTC)
SETTINGS: Final = LIGHT | {"ORPHAN_GRACE_HOURS": "1", "UPLOAD_IDLE_HOURS": str(IDLE_HOURS), "EXPIRY_GRACE_MINUTES": "0"}


class DiedError(BaseException):
    """
    The process ends here, and none of its later steps happen.
    """


@attrs.define
class MortalProcess:
    """
    Ends a process before its `steps_left`-th step from now; no further step happens.
    """

    steps_left: int | None = None

    def step(self) -> None:
        if self.steps_left is not None:
            if self.steps_left == 0:
                raise DiedError
            self.steps_left -= 1


@attrs.define(kw_only=True)
class MortalDatabase(MemoryDatabase):
    """
    A database whose client may die before and after each commit.
    """

    process: MortalProcess

    def _publish(self, tables: Tables) -> None:
        self.process.step()
        super()._publish(tables)
        self.process.step()


@attrs.define(kw_only=True)
class MortalBlobs(MemoryBlobs):
    """
    A store whose client may die before and after each put and delete.
    """

    process: MortalProcess

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        self.process.step()
        super().put(key, pieces, size=size)
        self.process.step()

    def delete(self, key: str) -> None:
        self.process.step()
        super().delete(key)
        self.process.step()


def on_mortal_storage(sft: Application, database: MortalDatabase, blobs: MortalBlobs) -> Application:
    """
    The application on this database and this store.
    """
    part = attrs.evolve(sft.vault.store_part, begin=database, blobs=blobs)
    seal = attrs.evolve(sft.sharing.seal_upload, begin=database, store_part=part)
    begin = attrs.evolve(sft.vault.begin_upload, begin=database)
    abort = attrs.evolve(sft.vault.abort_upload, begin=database, blobs=blobs)
    find = attrs.evolve(sft.vault.find_file, begin=database)
    return with_use_cases(
        sft,
        begin_upload=begin,
        store_part=part,
        seal_upload=seal,
        abort_upload=abort,
        find_file=find,
        read_file=attrs.evolve(sft.vault.read_file, begin=database, blobs=blobs),
        set_expiry=attrs.evolve(sft.vault.set_expiry, begin=database, find=find),
        delete_file=attrs.evolve(sft.vault.delete_file, begin=database, find=find, blobs=blobs),
        sweep=attrs.evolve(sft.maintenance.sweep, begin=database, blobs=blobs),
    )


DEATHS: Final = st.one_of(st.none(), st.integers(0, 9))
PART: Final = st.binary(max_size=9)


class SweptVault(RuleBasedStateMachine):
    """
    One owner, processes that die, and a model of what was acknowledged.
    """

    @initialize()
    def begin(self) -> None:
        """Create an owner and nothing else."""
        self.process, self.clock = MortalProcess(), SettableClock()
        self.database = MortalDatabase(process=self.process)
        self.blobs = MortalBlobs(now=self.clock.now, process=self.process)
        self.sft = on_mortal_storage(memory_application(self.clock, SETTINGS), self.database, self.blobs)
        self.owner = a_user(created_at=self.clock.now())
        with self.database() as unit:
            unit.users.add(self.owner)
            self.blobs.set_store_id(unit.store_identity.set_store_id(MARK))
            unit.commit()
        self.uploads: list[tuple[UploadSession, bytes]] = []
        self.ended: list[UploadSession] = []
        self.files: dict[FileId, bytes] = {}
        self.unsure: dict[FileId, bytes] = {}
        self.expiries: dict[FileId, datetime] = {}

    def completes(self, death: int | None, act: Callable[[], Any]) -> bool:
        """
        Run the action in a process that may die, and return whether it completed.
        """
        self.process.steps_left = death
        try:
            act()
        except DiedError:
            return False
        finally:
            self.process.steps_left = None
        return True

    @rule(death=DEATHS)
    def an_upload_begins(self, death: int | None) -> None:
        """The row exists before the first byte."""
        begun: list[UploadSession] = []
        if self.completes(death, lambda: begun.append(self.sft.vault.begin_upload(owner=self.owner.id, name=NAME))):
            self.uploads.append((begun[0], b""))

    @precondition(lambda self: self.uploads)
    @rule(which=st.integers(0, 99), part=PART, death=DEATHS)
    def a_part_is_stored(self, which: int, part: bytes, death: int | None) -> None:
        """The process that receives a part may die, and the upload with it."""
        upload, content = self.uploads.pop(which % len(self.uploads))
        if self.completes(death, lambda: self.sft.vault.store_part(upload, part)):
            self.uploads.append((upload, content + part))

    @precondition(lambda self: self.uploads)
    @rule(which=st.integers(0, 99), death=DEATHS)
    def an_upload_is_sealed(self, which: int, death: int | None) -> None:
        """An acknowledged file stays."""
        upload, content = self.uploads.pop(which % len(self.uploads))
        completed = self.completes(death, lambda: self.sft.sharing.seal_upload(upload).file)
        (self.files if completed else self.unsure)[upload.file.id] = content

    @precondition(lambda self: self.uploads)
    @rule(which=st.integers(0, 99), death=DEATHS)
    def an_upload_is_aborted(self, which: int, death: int | None) -> None:
        """The upload has ended, whether the abort completed or not."""
        upload, _ = self.uploads.pop(which % len(self.uploads))
        self.ended.append(upload)
        self.completes(death, lambda: self.sft.vault.abort_upload(upload))

    @precondition(lambda self: self.ended)
    @rule(which=st.integers(0, 99), part=PART, death=DEATHS)
    def a_late_part_is_stored(self, which: int, part: bytes, death: int | None) -> None:
        """The late part is deleted, by its own process or by a sweep, because no row refers to it."""
        upload = self.ended[which % len(self.ended)]
        with suppress(UploadAborted):
            self.completes(death, lambda: self.sft.vault.store_part(upload, part))

    @rule(content=PART, minutes=st.integers(0, 59), death=DEATHS, sweeps=st.booleans())
    def a_small_file_is_stored(self, content: bytes, minutes: int, death: int | None, *, sweeps: bool) -> None:
        """The row is written by the commit, after the part; a sweep may run between them, within the hour."""
        upload = self.sft.vault.begin_upload(owner=self.owner.id, name=NAME, announced_size=len(content))
        if not self.completes(death, lambda: self.sft.vault.store_part(upload, content)):
            return
        self.time_passes(minutes)
        if sweeps:
            self.sft.maintenance.sweep()
        completed = self.completes(death, lambda: self.sft.sharing.seal_upload(upload).file)
        (self.files if completed else self.unsure)[upload.file.id] = content

    @precondition(lambda self: self.files)
    @rule(which=st.integers(0, 99), death=DEATHS)
    def a_file_is_deleted(self, which: int, death: int | None) -> None:
        """After an unacknowledged deletion the file may exist or not."""
        file_id = sorted(self.files)[which % len(self.files)]
        content = self.files.pop(file_id)
        if not self.completes(death, lambda: self.sft.vault.delete_file(owner=self.owner.id, file_id=file_id)):
            self.unsure[file_id] = content

    @precondition(lambda self: self.files)
    @rule(which=st.integers(0, 99), hours=st.none() | st.integers(1, 3), death=DEATHS)
    def a_files_expiry_is_set(self, which: int, hours: int | None, death: int | None) -> None:
        """After an unacknowledged change either expiry may apply."""
        file_id = sorted(self.files)[which % len(self.files)]
        if not self.completes(
            death, lambda: self.sft.vault.set_expiry(owner=self.owner.id, file_id=file_id, expires_hours=hours)
        ):
            self.unsure[file_id] = self.files.pop(file_id)
        self.expiries.pop(file_id, None)
        if hours is not None:
            self.expiries[file_id] = self.clock.now() + timedelta(hours=hours)

    @rule(minutes=st.integers(0, 60 * IDLE_HOURS - 61))
    def time_passes(self, minutes: int) -> None:
        """Time passes, but less than the idle time of a running upload."""
        self.clock.advance(minutes=minutes)
        self.expire_files()
        for upload, _ in self.uploads:
            self.sft.vault.store_part(upload, b"")

    @rule(death=DEATHS)
    def a_sweep_runs(self, death: int | None) -> None:
        """A sweep may run at any time, and may die."""
        self.completes(death, self.sft.maintenance.sweep)

    @rule()
    def every_process_dies(self) -> None:
        """One sweep after the idle time leaves what was acknowledged and nothing else."""
        self.ended += [upload for upload, _ in self.uploads]
        self.uploads.clear()
        self.clock.advance(hours=IDLE_HOURS)
        self.expire_files()
        assert not self.sft.maintenance.sweep().failures
        assert not any(file.is_expired(self.clock.now()) for file in self.rows())
        assert {file.state for file in self.rows()} <= {FileState.SEALED}
        assert self.stored() == self.recorded()
        assert self.sft.maintenance.sweep() == SweepResult()

    def expire_files(self) -> None:
        """
        No request finds an expired file, whether a sweep has run or not.
        """
        for file_id in [file_id for file_id in self.files if self.expiries.get(file_id, LATE) <= self.clock.now()]:
            del self.files[file_id]
            with pytest.raises(FileNotFound):
                self.sft.vault.find_file(owner=self.owner.id, file_id=file_id)

    @invariant()
    def acknowledged_files_are_complete(self) -> None:
        """Acknowledged files are complete, and unacknowledged ones are complete or absent."""
        rows = {file.id: file for file in self.rows()}
        for file_id, content in self.files.items():
            assert self.read(rows[file_id]) == content
        for file_id, content in self.unsure.items():
            file = rows.get(file_id)
            assert file is None or file.state is not FileState.SEALED or self.read(file) == content

    @invariant()
    def usage_is_the_sum_of_reservations(self) -> None:
        """Each owner's usage is the sum of the reservations, and a sealed file reserves its size."""
        with self.database(read_only=True) as unit:
            assert list(unit.quota_audit.drifts()) == []

    @invariant()
    def no_upload_under_way_is_harmed(self) -> None:
        """The row of a running upload is being received, and its parts are stored."""
        rows = {file.id: file for file in self.rows()}
        for upload, content in self.uploads:
            assert rows[upload.file.id].state is FileState.RECEIVING
            assert upload.received == len(content)
            assert {part.blob_key for part in upload.pending} <= self.stored()

    def rows(self) -> Iterator[File]:
        yield from self.database.snapshot().files.values()

    def read(self, file: File) -> bytes:
        return b"".join(map(bytes, self.sft.vault.read_file(file)))

    def stored(self) -> set[str]:
        return {blob.key for blob in self.blobs.list()}

    def recorded(self) -> set[str]:
        return {part.blob_key for parts in self.database.snapshot().parts.values() for part in parts}

    def teardown(self) -> None:
        """Verify the final state of each run as well."""
        if hasattr(self, "sft"):
            self.every_process_dies()
            self.acknowledged_files_are_complete()


TestSweptVault = SweptVault.TestCase
TestSweptVault.settings = budget(examples=150, steps=30)
