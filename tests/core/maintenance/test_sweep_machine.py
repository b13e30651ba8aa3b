"""
Uploads, deletions and sweeps that die at any of their steps: one sweep later everything is as it should be.
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
    The process ends here; whatever it would have done next does not happen.
    """


@attrs.define
class Fuse:
    """
    Lets a process die before its `left`-th step from now; a dead one does not take another.
    """

    left: int | None = None

    def burn(self) -> None:
        if self.left is not None:
            if self.left == 0:
                raise DiedError
            self.left -= 1


@attrs.define(kw_only=True)
class FusedDatabase(MemoryDatabase):
    """
    A database whose client may die before and after each commit.
    """

    fuse: Fuse

    def _publish(self, tables: Tables) -> None:
        self.fuse.burn()
        super()._publish(tables)
        self.fuse.burn()


@attrs.define(kw_only=True)
class FusedBlobs(MemoryBlobs):
    """
    A store whose client may die before and after each put and delete.
    """

    fuse: Fuse

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        self.fuse.burn()
        super().put(key, pieces, size=size)
        self.fuse.burn()

    def delete(self, key: str) -> None:
        self.fuse.burn()
        super().delete(key)
        self.fuse.burn()


def fused(sft: Application, database: FusedDatabase, blobs: FusedBlobs) -> Application:
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
        """An owner, and nothing else."""
        self.fuse, self.clock = Fuse(), SettableClock()
        self.database = FusedDatabase(fuse=self.fuse)
        self.blobs = FusedBlobs(now=self.clock.now, fuse=self.fuse)
        self.sft = fused(memory_application(self.clock, SETTINGS), self.database, self.blobs)
        self.owner = a_user(created_at=self.clock.now())
        with self.database() as unit:
            unit.users.add(self.owner)
            self.blobs.set_store_id(unit.store_identity.set_store_id(MARK))
            unit.commit()
        self.uploads: list[tuple[UploadSession, bytes]] = []
        self.ended: list[UploadSession] = []
        self.files: dict[FileId, bytes] = {}
        self.unsure: dict[FileId, bytes] = {}
        self.ends: dict[FileId, datetime] = {}

    def lives(self, death: int | None, act: Callable[[], Any]) -> bool:
        """
        Whether a process that does this gets to its end.
        """
        self.fuse.left = death
        try:
            act()
        except DiedError:
            return False
        finally:
            self.fuse.left = None
        return True

    @rule(death=DEATHS)
    def an_upload_begins(self, death: int | None) -> None:
        """Its row is there before its first byte."""
        begun: list[UploadSession] = []
        if self.lives(death, lambda: begun.append(self.sft.vault.begin_upload(owner=self.owner.id, name=NAME))):
            self.uploads.append((begun[0], b""))

    @precondition(lambda self: self.uploads)
    @rule(which=st.integers(0, 99), part=PART, death=DEATHS)
    def a_part_comes(self, which: int, part: bytes, death: int | None) -> None:
        """Whoever receives it may die, and the upload with it."""
        upload, content = self.uploads.pop(which % len(self.uploads))
        if self.lives(death, lambda: self.sft.vault.store_part(upload, part)):
            self.uploads.append((upload, content + part))

    @precondition(lambda self: self.uploads)
    @rule(which=st.integers(0, 99), death=DEATHS)
    def an_upload_is_sealed(self, which: int, death: int | None) -> None:
        """Once it is acknowledged it is there for good."""
        upload, content = self.uploads.pop(which % len(self.uploads))
        lived = self.lives(death, lambda: self.sft.sharing.seal_upload(upload).file)
        (self.files if lived else self.unsure)[upload.file.id] = content

    @precondition(lambda self: self.uploads)
    @rule(which=st.integers(0, 99), death=DEATHS)
    def an_upload_is_aborted(self, which: int, death: int | None) -> None:
        """It is over whether that is finished or not."""
        upload, _ = self.uploads.pop(which % len(self.uploads))
        self.ended.append(upload)
        self.lives(death, lambda: self.sft.vault.abort_upload(upload))

    @precondition(lambda self: self.ended)
    @rule(which=st.integers(0, 99), part=PART, death=DEATHS)
    def a_part_comes_too_late(self, which: int, part: bytes, death: int | None) -> None:
        """It is taken back again, by its own process or by a sweep: no row is there any more to tell of it."""
        upload = self.ended[which % len(self.ended)]
        with suppress(UploadAborted):
            self.lives(death, lambda: self.sft.vault.store_part(upload, part))

    @rule(content=PART, minutes=st.integers(0, 59), death=DEATHS, sweeps=st.booleans())
    def a_small_file_is_stored(self, content: bytes, minutes: int, death: int | None, *, sweeps: bool) -> None:
        """Its row comes with its commit, after its part; somebody may sweep between, within the hour."""
        upload = self.sft.vault.begin_upload(owner=self.owner.id, name=NAME, announced_size=len(content))
        if not self.lives(death, lambda: self.sft.vault.store_part(upload, content)):
            return
        self.time_passes(minutes)
        if sweeps:
            self.sft.maintenance.sweep()
        lived = self.lives(death, lambda: self.sft.sharing.seal_upload(upload).file)
        (self.files if lived else self.unsure)[upload.file.id] = content

    @precondition(lambda self: self.files)
    @rule(which=st.integers(0, 99), death=DEATHS)
    def a_file_is_deleted(self, which: int, death: int | None) -> None:
        """What was not acknowledged may be there, or not."""
        file_id = sorted(self.files)[which % len(self.files)]
        content = self.files.pop(file_id)
        if not self.lives(death, lambda: self.sft.vault.delete_file(owner=self.owner.id, file_id=file_id)):
            self.unsure[file_id] = content

    @precondition(lambda self: self.files)
    @rule(which=st.integers(0, 99), hours=st.none() | st.integers(1, 3), death=DEATHS)
    def a_files_end_is_set(self, which: int, hours: int | None, death: int | None) -> None:
        """What was not acknowledged may hold, or what held before."""
        file_id = sorted(self.files)[which % len(self.files)]
        if not self.lives(
            death, lambda: self.sft.vault.set_expiry(owner=self.owner.id, file_id=file_id, expires_hours=hours)
        ):
            self.unsure[file_id] = self.files.pop(file_id)
        self.ends.pop(file_id, None)
        if hours is not None:
            self.ends[file_id] = self.clock.now() + timedelta(hours=hours)

    @rule(minutes=st.integers(0, 60 * IDLE_HOURS - 61))
    def time_passes(self, minutes: int) -> None:
        """Not so much that an upload under way would rest for too long."""
        self.clock.advance(minutes=minutes)
        self.some_files_end()
        for upload, _ in self.uploads:
            self.sft.vault.store_part(upload, b"")

    @rule(death=DEATHS)
    def somebody_sweeps(self, death: int | None) -> None:
        """At any time, and may die of it."""
        self.lives(death, self.sft.maintenance.sweep)

    @rule()
    def everybody_dies(self) -> None:
        """One sweep, when all uploads have rested for long enough, leaves what was acknowledged and nothing else."""
        self.ended += [upload for upload, _ in self.uploads]
        self.uploads.clear()
        self.clock.advance(hours=IDLE_HOURS)
        self.some_files_end()
        assert not self.sft.maintenance.sweep().failures
        assert not any(file.is_expired(self.clock.now()) for file in self.rows())
        assert {file.state for file in self.rows()} <= {FileState.SEALED}
        assert self.stored() == self.recorded()
        assert self.sft.maintenance.sweep() == SweepResult()

    def some_files_end(self) -> None:
        """
        Nobody finds a file from its end on, whether a sweep has been there or not.
        """
        for file_id in [file_id for file_id in self.files if self.ends.get(file_id, LATE) <= self.clock.now()]:
            del self.files[file_id]
            with pytest.raises(FileNotFound):
                self.sft.vault.find_file(owner=self.owner.id, file_id=file_id)

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        """Byte for byte, and whatever is not sure is either whole or gone."""
        rows = {file.id: file for file in self.rows()}
        for file_id, content in self.files.items():
            assert self.read(rows[file_id]) == content
        for file_id, content in self.unsure.items():
            file = rows.get(file_id)
            assert file is None or file.state is not FileState.SEALED or self.read(file) == content

    @invariant()
    def the_quota_is_the_sum_of_what_is_held(self) -> None:
        """And what is sealed holds its size."""
        with self.database(read_only=True) as unit:
            assert list(unit.quota_audit.drifts()) == []

    @invariant()
    def no_upload_under_way_is_harmed(self) -> None:
        """Its row is being received, and its parts are stored."""
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
        """At the end of each run, too."""
        if hasattr(self, "sft"):
            self.everybody_dies()
            self.what_was_acknowledged_is_there()


TestSweptVault = SweptVault.TestCase
TestSweptVault.settings = budget(examples=150, steps=30)
