"""
Resumable uploads, one frozen callable for each step.

The offset is a promise. Every acknowledged byte is encrypted in the blob store and recorded in the
manifest by a commit, so it outlives the process, the connection and the client.

An upload has one writer. A request that continues an upload first acquires a fencing token
(`ResumableUploads.take_over`), and every addition to the manifest requires that the token is still
the latest. So a later request excludes a hanging one at once, and its late bytes are never recorded.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Protocol

import attrs

from sft_core.errors import FileNotFound, SftError, UploadAborted
from sft_core.key_retirement import wrapped_and_stored
from sft_core.ports import Begin, Clock, Entropy, Ids, KeyRing
from sft_core.values import FileId, FileName, MediaType, Secret, UserId
from sft_core.vault.model import (
    CONDEMNED,
    FILE_KEY_BYTES,
    FILE_KEY_PURPOSE,
    File,
    FileState,
    ResumableUpload,
    ShareTerms,
    UploadKind,
    VaultPolicy,
)
from sft_core.vault.ports import BlobStore, Room, VaultUnit
from sft_core.vault.use_cases import DeleteFile, Upload, hold, purge


@attrs.frozen(kw_only=True)
class UploadAsked:
    """
    A request for a new upload: kind, length if known, and file properties.
    """

    name: FileName
    media_type: MediaType
    kind: UploadKind = UploadKind.WHOLE
    length: int | None = None
    terms: ShareTerms = attrs.field(factory=ShareTerms)
    is_public: bool = False
    metadata: str = ""
    sources: tuple[FileId, ...] = ()


@attrs.frozen(kw_only=True)
class Progress:
    """
    The progress of an upload: `offset` bytes are durable, and the next byte belongs there.
    """

    file: File
    upload: ResumableUpload
    offset: int

    @property
    def is_sealed(self) -> bool:
        """
        Whether the upload has become a file.
        """
        return self.file.state is FileState.SEALED

    @property
    def is_complete(self) -> bool:
        """
        Whether every announced byte was received.
        """
        return self.is_sealed or self.offset == self.upload.length


@attrs.frozen(kw_only=True)
class CreateUpload:
    """
    Create an upload, and reserve quota for its announced length.

    The name of a partial upload is not checked, as no file will have it. On an error nothing is stored.

    Raises:
        FileTypeNotAllowed: The extension of the file name is not allowed.
        FileTooLarge: The announced length exceeds the limit of a file.
        QuotaExceeded: The announced length exceeds the owner's quota.
        BlobStoreFull: The store certainly has no space for the announced length.
    """

    begin: Begin[VaultUnit]
    ids: Ids
    clock: Clock
    entropy: Entropy
    keyring: KeyRing
    policy: VaultPolicy
    room: Room

    def __call__(self, *, owner: UserId, asked: UploadAsked) -> Progress:
        return self.opened(owner=owner, asked=asked)[0]

    def opened(self, *, owner: UserId, asked: UploadAsked) -> tuple[Progress, Upload]:
        """
        Create the upload; also return its session, for a caller that fills it.
        """
        if asked.kind is not UploadKind.PARTIAL:
            self.policy.admit_name(asked.name)
        self.policy.admit_size(asked.length or 0)
        key = Secret(self.entropy.draw(FILE_KEY_BYTES))
        file = File(
            id=FileId(self.ids.new()),
            owner=owner,
            name=asked.name,
            original_name=asked.name,
            media_type=asked.media_type,
            created_at=self.clock.now(),
            terms=asked.terms,
        )
        resumable = ResumableUpload(
            file_id=file.id,
            kind=asked.kind,
            length=asked.length,
            is_public=asked.is_public,
            metadata=asked.metadata,
            sources=asked.sources,
        )
        upload = wrapped_and_stored(lambda: self._stored(Upload(file=file, key=key), resumable))
        return Progress(file=upload.file, upload=resumable, offset=0), upload

    def _stored(self, upload: Upload, resumable: ResumableUpload) -> Upload:
        upload.file = upload.with_key(self.keyring)
        with self.begin() as unit:
            unit.files.add(upload.file)
            unit.uploads.add(resumable)
            upload.held = hold(unit, upload, self.policy, need=resumable.length or 0)
            self.room.admit_bytes(resumable.length or 0)
            unit.commit()
        return upload


@attrs.frozen(kw_only=True)
class FindUpload:
    """
    Return the progress of one of the owner's uploads.

    Raises:
        FileNotFound: The owner has no such upload, or no byte was received for `idle`, whether or
            not a sweep has aborted it yet.
    """

    begin: Begin[VaultUnit]
    clock: Clock
    idle: timedelta

    def __call__(self, *, owner: UserId, file_id: FileId) -> Progress:
        with self.begin(read_only=True) as unit:
            return self.within(unit, owner=owner, file_id=file_id)

    def within(self, unit: VaultUnit, *, owner: UserId, file_id: FileId) -> Progress:
        """
        Find the upload in a unit of work that is already open.
        """
        file, upload = unit.files.get(file_id), unit.uploads.get(file_id)
        if file is None or upload is None or file.owner != owner or file.state in CONDEMNED:
            raise FileNotFound
        now = self.clock.now()
        if file.is_expired(now) or (file.state is FileState.RECEIVING and file.touched_at <= now - self.idle):
            raise FileNotFound
        offset = file.size if file.state is FileState.SEALED else unit.manifests.totals(file_id)[1]
        return Progress(file=file, upload=upload, offset=offset)


class Seal(Protocol):
    """
    Turn an upload whose parts are all recorded into a file, in one commit.
    """

    def __call__(self, upload: Upload, *, terms: ShareTerms) -> File:
        """
        Seal the upload; raise `UploadAborted` if a concurrent request changed its state first.
        """
        ...


@attrs.frozen(kw_only=True)
class FinishUpload:
    """
    Seal a whole upload whose bytes are complete; any other upload is returned unchanged.

    Safe to repeat and to call concurrently: the file is created once.
    """

    find: FindUpload
    keyring: KeyRing
    seal: Seal
    seal_and_share: Seal

    def __call__(self, *, owner: UserId, file_id: FileId) -> Progress:
        found = self.find(owner=owner, file_id=file_id)
        if found.is_sealed or not found.is_complete or found.upload.kind is not UploadKind.WHOLE:
            return found
        # A concurrent request sealed or ended it; the read below determines which.
        with suppress(UploadAborted):
            self._seal(found)
        return self.find(owner=owner, file_id=file_id)

    def _seal(self, found: Progress) -> None:
        file = found.file
        if file.key is None:
            raise FileNotFound
        key = self.keyring.unwrap(file.key, purpose=FILE_KEY_PURPOSE, context=file.key_context)
        with self.find.begin(read_only=True) as unit:
            parts, received = unit.manifests.totals(file.id)
        upload = Upload(file=file, key=key, held=received, received=received, parts=parts)
        seal = self.seal_and_share if found.upload.is_public else self.seal
        seal(upload, terms=file.terms)


@attrs.frozen(kw_only=True)
class TerminateUpload:
    """
    End an upload and delete what is stored of it.

    If it has become a file, that file is deleted. If the parts cannot be deleted now, they are
    unreadable and the next sweep deletes them.
    """

    begin: Begin[VaultUnit]
    clock: Clock
    find: FindUpload
    blobs: BlobStore
    delete: DeleteFile

    def __call__(self, *, owner: UserId, file_id: FileId) -> None:
        found = self.find(owner=owner, file_id=file_id)
        with self.begin() as unit:
            won = unit.files.replace(found.file.aborted(self.clock.now()), expected=FileState.RECEIVING)
            unit.commit()
        if not won:
            self.delete(owner=owner, file_id=file_id)
            return
        with suppress(SftError):
            purge(self.begin, self.blobs, found.file.id)
