"""
Whole operations on a vault, each with what has to hold whatever happens in the middle of it.

The rows are in memory: what is committed is durable, what is not is gone. The blobs are in the store
under test. An operation notes what it was told, as it is told: that, and nothing less, must be there.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs
from dependency_injector import providers

from sft_adapters.container import Container
from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.limiter import MemoryRateLimiter
from sft_adapters.memory.room import UntoldRoom
from sft_adapters.memory.rows import Tables
from sft_adapters.memory.sessions import MemorySessions
from sft_adapters.settings import Settings
from sft_adapters.testkit.contracts.examples import a_user
from sft_core.application import Application
from sft_core.errors import BlobStoreUnavailable, FileNotFound, SftError
from sft_core.users.model import User
from sft_core.values import FileId, FileName, Page
from sft_core.vault.doctor import Sample
from sft_core.vault.model import FileState, UploadKind
from sft_core.vault.ports import BlobStore, Buffer
from sft_core.vault.sweep import Swept
from support.library import FaultyBlobs, PassedOnBlobs
from support.resumable import PART, add, an_upload, asked, found, in_small_parts

NAME: Final = FileName.parse("notes.txt")
NOISE_KEY: Final = f"{'0' * 31}1/1-00000000-0123456789abcdef"


@attrs.define
class WitnessedBlobs(PassedOnBlobs):
    """
    A blob store, and what each put was given: nothing else may ever be listed under its key.
    """

    given: dict[str, bytes] = attrs.field(factory=dict, init=False)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        self.given[key] = b"".join(map(bytes, pieces))
        super().put(key, iter([self.given[key]]), size=size)

    def check(self) -> None:
        """
        That whatever is listed is whole.
        """
        for blob in list(self.list()):
            content = bytearray(blob.size)
            self.read_into(blob.key, 0, memoryview(content), size=blob.size)
            assert content == self.given[blob.key], f"blob {blob.key} is not what was put"


@attrs.define
class World:
    """
    A vault of one owner on a store: what the owner was told to be in it, and what was asked of it.
    """

    sft: Application
    database: MemoryDatabase
    blobs: WitnessedBlobs
    clock: SettableClock
    owner: User
    known: dict[FileId, bytes] = attrs.field(factory=dict)
    leaving: set[FileId] = attrs.field(factory=set)
    asked: set[bytes] = attrs.field(factory=set)

    def begin_anew(self) -> None:
        """
        An owner with one file, and nothing else.
        """
        self.database._committed = Tables()
        self.clock._now = datetime.now(UTC)
        self.owner = attrs.evolve(a_user(), totp=None, created_at=self.clock.now())
        with self.database() as unit:
            unit.users.add(self.owner)
            unit.commit()
        self.known, self.leaving, self.asked = {}, set(), set()
        self.store(os.urandom(20))

    def begun(self, kind: type[Operation]) -> Operation:
        """
        An operation in a world begun anew, prepared and not begun.
        """
        self.begin_anew()
        operation = kind(self)
        operation.before()
        return operation

    def store(self, content: bytes) -> FileId:
        """
        Store a file; when it returns the file is known to be there.
        """
        self.asked.add(content)
        announced = len(content) if len(content) < PART else None
        file = self.sft.store_file(owner=self.owner.id, name=NAME, content=[content], announced_size=announced)
        self.known[file.id] = content
        return file.id

    def delete(self, file: FileId) -> None:
        """
        Delete a file; until it returns the file may be there or not.
        """
        self.leaving.add(file)
        content = self.known.pop(file, None)
        if content is not None:
            self.asked.add(content)
        self.sft.delete_file(owner=self.owner.id, file_id=file)
        self.leaving.discard(file)

    def check(self) -> None:
        """
        What has to hold at any time: what was told is there, what is there was sent, and the sums are right.
        """
        seen = self._listed()
        assert seen >= self.known.keys(), "a file that was acknowledged is not there"
        for file in seen:
            content = self._read(file)
            assert content == self.known[file] if file in self.known else content in self.asked
        with self.database(read_only=True) as unit:
            assert list(unit.ledger.drifts()) == []
        self.blobs.check()

    def contents(self) -> list[bytes]:
        """
        What the files hold that the owner has.
        """
        return [self._read(file) for file in self._listed()]

    def _listed(self) -> set[FileId]:
        return {file.id for file in self.sft.list_files(owner=self.owner.id, page=Page())}

    def _read(self, file: FileId) -> bytes:
        try:
            found = self.sft.find_file(owner=self.owner.id, file_id=file)
            return b"".join(map(bytes, self.sft.read_file(found)))
        except SftError as error:
            raise AssertionError("a file that is listed cannot be read") from error

    def settle(self) -> None:
        """
        That a sweep, when everything has rested for long enough, leaves what was stored and nothing else.
        """
        self.clock.advance(days=30)
        swept = self.sft.sweep()
        assert (dict(swept.failures), swept.is_complete) == ({}, True)
        self.check()
        tables = self.database._committed
        assert {file.state for file in tables.files.values()} <= {FileState.SEALED}
        recorded = {part.blob_key for parts in tables.parts.values() for part in parts}
        assert {blob.key for blob in self.blobs.list()} == recorded, "blobs and rows do not agree"
        with self.database(read_only=True) as unit:
            assert unit.quotas.used(self.owner.id) == sum(file.size for file in tables.files.values())
        assert self.sft.sweep() == Swept()


def a_world(make: Callable[[SettableClock], BlobStore], database: MemoryDatabase | None = None) -> World:
    """
    The library on rows in memory and on this store, in parts of 16 bytes.
    """
    clock = SettableClock(datetime.now(UTC))
    store = make(clock)
    blobs = WitnessedBlobs(store)
    keys = {"SECRET_KEY": os.urandom(32).hex(), "ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}
    container = Container(settings=Settings.from_env({}, data_dir=Path("/nonexistent"), secrets=keys))
    database = MemoryDatabase() if database is None else database
    adapters = {"begin": database, "sessions": MemorySessions(), "limiter": MemoryRateLimiter(), "blobs": blobs}
    adapters |= {"clock": clock, "room": UntoldRoom()}
    adapters["expiring"] = [store] if hasattr(store, "prune") else []
    for name, adapter in adapters.items():
        getattr(container, name).override(providers.Object(adapter))
    sft = in_small_parts(container.application())
    begin = attrs.evolve(sft.begin_upload, part_size=PART)
    sft = attrs.evolve(sft, begin_upload=begin, store_file=attrs.evolve(sft.store_file, begin_upload=begin))
    return World(sft=sft, database=database, blobs=blobs, clock=clock, owner=a_user())


@attrs.define
class Operation:
    """
    Something that somebody wants of a vault: prepared, done, and done again when it went wrong.

    `again` is done by a process that knows nothing but what was told: it goes on, or begins anew.
    """

    world: World
    is_done: bool = attrs.field(default=False, init=False)

    def before(self) -> None:
        """
        What has to be there.
        """

    def act(self) -> None:
        """
        Do it, noting what is told; `is_done` at the end.
        """
        raise NotImplementedError

    def attempt(self) -> SftError | None:
        """
        Do it, and give the error of ours in which that ended, if it did.
        """
        try:
            self.act()
        except SftError as error:
            return error
        return None

    def again(self) -> None:
        """
        Do what was not done.
        """
        if not self.is_done:
            self.act()

    def go_on(self) -> None:
        """
        That what went wrong does not keep it from being done, and that a sweep leaves no trace.
        """
        self.again()
        assert self.is_done
        self.world.settle()


@attrs.define
class StoreSmallFile(Operation):
    """
    A file of one part, whose row comes with its commit.
    """

    content: bytes = attrs.field(factory=lambda: os.urandom(9), init=False)

    def act(self) -> None:
        self.world.store(self.content)
        self.is_done = True


@attrs.define
class StoreThreeParts(StoreSmallFile):
    """
    A file of three parts, whose row comes first.
    """

    content: bytes = attrs.field(factory=lambda: os.urandom(2 * PART + 7), init=False)


@attrs.define
class AppendToUpload(Operation):
    """
    A resumable upload in several requests, whose short parts are merged.
    """

    content: bytes = attrs.field(factory=lambda: os.urandom(PART + 11), init=False)
    upload: FileId | None = attrs.field(default=None, init=False)
    told: int = attrs.field(default=0, init=False)

    def before(self) -> None:
        self.world.asked.add(self.content)
        self.upload = self.world.sft.create_upload(owner=self.world.owner.id, asked=asked(len(self.content))).file.id

    def act(self) -> None:
        world = self.world
        assert self.upload is not None
        offset = found(world.sft, world.owner, self.upload).offset
        assert offset >= self.told, "bytes that were acknowledged are not there"
        while offset < len(self.content):
            bite = self.content[offset : offset + (5, 3, PART)[offset % 4 % 3]]
            add(world.sft, world.owner, self.upload, bite)
            offset = self.told = offset + len(bite)
        assert world.sft.finish_upload(owner=world.owner.id, file_id=self.upload).is_sealed
        world.known[self.upload] = self.content
        self.is_done = True


@attrs.define
class PutTogether(Operation):
    """
    A file from two pieces, which are used up.
    """

    content: bytes = attrs.field(factory=lambda: os.urandom(2 * PART + 5), init=False)
    pieces: list[FileId] = attrs.field(factory=list, init=False)

    def before(self) -> None:
        self.world.asked.add(self.content)
        for piece in (self.content[:PART], self.content[PART:]):
            self.pieces.append(an_upload(self.world.sft, self.world.owner, piece, kind=UploadKind.PARTIAL))

    def act(self) -> None:
        world = self.world
        wanted = asked(None, UploadKind.FINAL, *self.pieces)
        concatenation = world.sft.concatenate_uploads(owner=world.owner.id, asked=wanted)
        while world.sft.concatenate_uploads.step(concatenation):
            pass
        file = world.sft.concatenate_uploads.finish(concatenation)
        world.known[file.id] = self.content
        self.is_done = True

    def again(self) -> None:
        try:
            super().again()
        except FileNotFound:
            # The pieces are used up: then the file is there, though nobody was told.
            assert self.content in self.world.contents()
            self.is_done = True


@attrs.define
class AbortUpload(Operation):
    """
    An upload of two parts is given up; whoever could do so again has nothing to do it with.
    """

    upload: Any = attrs.field(default=None, init=False)

    def before(self) -> None:
        self.upload = self.world.sft.begin_upload(owner=self.world.owner.id, name=NAME)
        for _ in range(2):
            self.world.sft.store_part(self.upload, os.urandom(PART))

    def act(self) -> None:
        self.world.sft.abort_upload(self.upload)
        self.is_done = True


@attrs.define
class DeleteFile(Operation):
    """
    A file of three parts is deleted.
    """

    file: FileId | None = attrs.field(default=None, init=False)

    def before(self) -> None:
        self.file = self.world.store(os.urandom(2 * PART + 7))

    def act(self) -> None:
        assert self.file is not None
        self.world.delete(self.file)
        self.is_done = True

    def again(self) -> None:
        try:
            super().again()
        except FileNotFound:
            self.is_done = True


@attrs.define
class ReadFile(Operation):
    """
    A file of three parts is read: every byte that is given is the right one.
    """

    content: bytes = attrs.field(factory=lambda: os.urandom(2 * PART + 7), init=False)
    file: FileId | None = attrs.field(default=None, init=False)

    def before(self) -> None:
        self.file = self.world.store(self.content)

    def act(self) -> None:
        assert self.file is not None
        given = b""
        file = self.world.sft.find_file(owner=self.world.owner.id, file_id=self.file)
        for piece in self.world.sft.read_file(file):
            given += bytes(piece)
            assert self.content.startswith(given)
        assert given == self.content, "a read that ended short, and did not say so"
        self.is_done = True


@attrs.define
class SweepLeftovers(Operation):
    """
    An upload nobody goes on with, a file half-deleted and a blob of no row are swept.
    """

    def before(self) -> None:
        world = self.world
        upload = world.sft.create_upload(owner=world.owner.id, asked=asked(3 * PART)).file.id
        add(world.sft, world.owner, upload, bytes(PART), bytes(5))
        file = world.store(os.urandom(PART + 3))
        away = FaultyBlobs(world.blobs, {("list", 0): BlobStoreUnavailable()})
        attrs.evolve(world.sft.delete_file, blobs=away)(owner=world.owner.id, file_id=file)
        world.known.pop(file)
        world.blobs.put(NOISE_KEY, [b"noise"], size=5)
        world.clock.advance(days=30)

    def act(self) -> None:
        self.is_done = not self.world.sft.sweep().failures


@attrs.define
class RepairLeftovers(SweepLeftovers):
    """
    The doctor finds the same, reading everything, and repairs it.
    """

    def act(self) -> None:
        for _ in self.world.sft.examine(verify=Sample(), repair=True):
            pass
        self.is_done = not list(self.world.sft.examine(verify=Sample()))


OPERATIONS: Final[tuple[type[Operation], ...]] = (
    StoreSmallFile,
    StoreThreeParts,
    AppendToUpload,
    PutTogether,
    AbortUpload,
    DeleteFile,
    ReadFile,
    SweepLeftovers,
    RepairLeftovers,
)
