"""
Whole operations on a vault, each with what has to hold whatever happens in the middle of it.

An operation notes what it was told, as it is told: that, and nothing less, must be there.
"""

from __future__ import annotations

import os
from typing import Any, Final, Self

import attrs

from sft_core.errors import BlobStoreUnavailable, FileNotFound, SftError
from sft_core.maintenance.integrity_check import Sample
from sft_core.values import FileId
from sft_core.vault.model import UploadKind
from support.library import FaultyBlobs
from support.resumable import PART, add, an_upload, asked, found
from support.worlds import NAME, NOISE_KEY, World


@attrs.define
class Operation:
    """
    Something that somebody wants of a vault: prepared, done, and done again when it went wrong.

    `again` is done by a process that knows nothing but what was told: it goes on, or begins anew.
    """

    world: World
    is_done: bool = attrs.field(default=False, init=False)

    @classmethod
    def begun(cls, world: World) -> Self:
        """
        The operation in a world begun anew, prepared and not begun.
        """
        world.begin_anew()
        operation = cls(world)
        operation.before()
        return operation

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
        self.upload = self.world.sft.create_upload(owner=self.world.owner.id, request=asked(len(self.content))).file.id

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
        concatenation = world.sft.concatenate_uploads(owner=world.owner.id, request=wanted)
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
        upload = world.sft.create_upload(owner=world.owner.id, request=asked(3 * PART)).file.id
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
        for _ in self.world.sft.check_integrity(verify=Sample(), repair=True):
            pass
        self.is_done = not list(self.world.sft.check_integrity(verify=Sample()))


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
