"""
Complete operations on a vault, each with the conditions that hold after a failure in the middle of it.

An operation records each acknowledgement when it receives it: every acknowledged file has to exist afterwards.
"""

from __future__ import annotations

import os
from typing import Any, Final, Self

import attrs

from sft_core.errors import BlobStoreUnavailable, FileNotFound, SftError
from sft_core.maintenance.integrity_check import Sample
from sft_core.values import FileId
from sft_core.vault.model import UploadKind
from support.app.library import FaultyBlobs
from support.app.resumable import PART, add, asked, complete_upload, found
from support.app.vault_under_test import NAME, NOISE_KEY, VaultUnderTest


@attrs.define
class Operation:
    """
    An operation on a vault that is prepared, run, and run again after a failure.

    `retry` runs in a new process, which has only the acknowledgements: it resumes the operation or restarts it.
    """

    vault: VaultUnderTest
    is_done: bool = attrs.field(default=False, init=False)

    @classmethod
    def prepared(cls, vault: VaultUnderTest) -> Self:
        """
        Return a prepared operation on a reset vault.
        """
        vault.reset()
        operation = cls(vault)
        operation.prepare()
        return operation

    def prepare(self) -> None:
        """
        Create what the operation needs.
        """

    def run(self) -> None:
        """
        Run the operation, record its acknowledgements, and set `is_done` at the end.
        """
        raise NotImplementedError

    def try_run(self) -> SftError | None:
        """
        Run the operation and return the `SftError` that ended it, if any.
        """
        try:
            self.run()
        except SftError as error:
            return error
        return None

    def retry(self) -> None:
        """
        Run the operation again if it is not done.
        """
        if not self.is_done:
            self.run()

    def recover(self) -> None:
        """
        Assert that the operation succeeds after the failure, and that a sweep leaves no trace of the failure.
        """
        self.retry()
        assert self.is_done
        self.vault.sweep_and_check()


@attrs.define
class StoreSmallFile(Operation):
    """
    Store a file of one part, whose row is committed after its blob.
    """

    content: bytes = attrs.field(factory=lambda: os.urandom(9), init=False)

    def run(self) -> None:
        self.vault.store(self.content)
        self.is_done = True


@attrs.define
class StoreThreeParts(StoreSmallFile):
    """
    Store a file of three parts, whose intent row is committed first.
    """

    content: bytes = attrs.field(factory=lambda: os.urandom(2 * PART + 7), init=False)


@attrs.define
class AppendToUpload(Operation):
    """
    Send a resumable upload in several requests, whose short parts are merged.
    """

    content: bytes = attrs.field(factory=lambda: os.urandom(PART + 11), init=False)
    upload: FileId | None = attrs.field(default=None, init=False)
    acknowledged_offset: int = attrs.field(default=0, init=False)

    def prepare(self) -> None:
        self.vault.submitted.add(self.content)
        self.upload = self.vault.sft.vault.create_upload(
            owner=self.vault.owner.id, request=asked(len(self.content))
        ).file.id

    def run(self) -> None:
        vault = self.vault
        assert self.upload is not None
        offset = found(vault.sft, vault.owner, self.upload).offset
        assert offset >= self.acknowledged_offset, "acknowledged bytes are missing"
        while offset < len(self.content):
            chunk = self.content[offset : offset + (5, 3, PART)[offset % 4 % 3]]
            add(vault.sft, vault.owner, self.upload, chunk)
            offset = self.acknowledged_offset = offset + len(chunk)
        assert vault.sft.vault.finish_upload(owner=vault.owner.id, file_id=self.upload).is_sealed
        vault.acknowledged[self.upload] = self.content
        self.is_done = True


@attrs.define
class ConcatenateUploads(Operation):
    """
    Concatenate two partial uploads, which are consumed.
    """

    content: bytes = attrs.field(factory=lambda: os.urandom(2 * PART + 5), init=False)
    pieces: list[FileId] = attrs.field(factory=list, init=False)

    def prepare(self) -> None:
        self.vault.submitted.add(self.content)
        for piece in (self.content[:PART], self.content[PART:]):
            self.pieces.append(complete_upload(self.vault.sft, self.vault.owner, piece, kind=UploadKind.PARTIAL))

    def run(self) -> None:
        vault = self.vault
        upload_request = asked(None, UploadKind.FINAL, *self.pieces)
        concatenation = vault.sft.vault.concatenate_uploads(owner=vault.owner.id, request=upload_request)
        while vault.sft.vault.concatenate_uploads.step(concatenation):
            pass
        file = vault.sft.vault.concatenate_uploads.finish(concatenation)
        vault.acknowledged[file.id] = self.content
        self.is_done = True

    def retry(self) -> None:
        try:
            super().retry()
        except FileNotFound:
            # The partial uploads were consumed: the file exists, although it was not acknowledged.
            assert self.content in self.vault.contents()
            self.is_done = True


@attrs.define
class AbortUpload(Operation):
    """
    Abort an upload of two parts; a second attempt has nothing left to abort.
    """

    upload: Any = attrs.field(default=None, init=False)

    def prepare(self) -> None:
        self.upload = self.vault.sft.vault.begin_upload(owner=self.vault.owner.id, name=NAME)
        for _ in range(2):
            self.vault.sft.vault.store_part(self.upload, os.urandom(PART))

    def run(self) -> None:
        self.vault.sft.vault.abort_upload(self.upload)
        self.is_done = True


@attrs.define
class DeleteFile(Operation):
    """
    Delete a file of three parts.
    """

    file: FileId | None = attrs.field(default=None, init=False)

    def prepare(self) -> None:
        self.file = self.vault.store(os.urandom(2 * PART + 7))

    def run(self) -> None:
        assert self.file is not None
        self.vault.delete(self.file)
        self.is_done = True

    def retry(self) -> None:
        try:
            super().retry()
        except FileNotFound:
            self.is_done = True


@attrs.define
class ReadFile(Operation):
    """
    Read a file of three parts; every byte returned has to be right.
    """

    content: bytes = attrs.field(factory=lambda: os.urandom(2 * PART + 7), init=False)
    file: FileId | None = attrs.field(default=None, init=False)

    def prepare(self) -> None:
        self.file = self.vault.store(self.content)

    def run(self) -> None:
        assert self.file is not None
        received = b""
        file = self.vault.sft.vault.find_file(owner=self.vault.owner.id, file_id=self.file)
        for piece in self.vault.sft.vault.read_file(file):
            received += bytes(piece)
            assert self.content.startswith(received)
        assert received == self.content, "the read ended early without an error"
        self.is_done = True


@attrs.define
class SweepLeftovers(Operation):
    """
    Sweep an idle upload, a half-deleted file and an orphan.
    """

    def prepare(self) -> None:
        vault = self.vault
        upload = vault.sft.vault.create_upload(owner=vault.owner.id, request=asked(3 * PART)).file.id
        add(vault.sft, vault.owner, upload, bytes(PART), bytes(5))
        file = vault.store(os.urandom(PART + 3))
        unlisted = FaultyBlobs(vault.blobs, {("list", 0): BlobStoreUnavailable()})
        attrs.evolve(vault.sft.vault.delete_file, blobs=unlisted)(owner=vault.owner.id, file_id=file)
        vault.acknowledged.pop(file)
        vault.blobs.put(NOISE_KEY, [b"noise"], size=5)
        vault.clock.advance(days=30)

    def run(self) -> None:
        self.is_done = not self.vault.sft.maintenance.sweep().failures


@attrs.define
class RepairLeftovers(SweepLeftovers):
    """
    Find and repair the same leftovers with an integrity check that reads every part.
    """

    def run(self) -> None:
        for _ in self.vault.sft.maintenance.check_integrity(verify=Sample(), repair=True):
            pass
        self.is_done = not list(self.vault.sft.maintenance.check_integrity(verify=Sample()))


OPERATIONS: Final[tuple[type[Operation], ...]] = (
    StoreSmallFile,
    StoreThreeParts,
    AppendToUpload,
    ConcatenateUploads,
    AbortUpload,
    DeleteFile,
    ReadFile,
    SweepLeftovers,
    RepairLeftovers,
)
