"""
Uploads that can be resumed after an interruption, one frozen callable a step.

The offset is a promise: a byte that was acknowledged is encrypted in the blob store, and a committed manifest refers to
it. It outlives the process, the connection and the client.

There is one writer at a time. A request that resumes an upload acquires it first and receives a fencing token
(`ResumableUploads.acquire`); every addition to the manifest is made on condition that the token is still the latest.
So a request that hangs is excluded by the next one at once, and its late bytes are never recorded.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import attrs

from sft_core.errors import FileNotFound, SftError, UploadAborted
from sft_core.ports import Clock, Entropy, IdGenerator, KeyRing, UnitOfWorkFactory
from sft_core.values import FileId, FileName, MediaType, Secret, UserId
from sft_core.vault.model import (
    DELETION_STATES,
    FILE_KEY_BYTES,
    FILE_KEY_PURPOSE,
    File,
    FileState,
    ResumableUpload,
    ShareTerms,
    UploadKind,
    VaultPolicy,
)
from sft_core.vault.ports import BlobStore, CapacityCheck, VaultUnit
from sft_core.vault.use_cases.delete import DeleteFile, purge
from sft_core.vault.use_cases.seal import Seal
from sft_core.vault.use_cases.upload import persist_intent
from sft_core.vault.use_cases.upload_session import UploadSession


@attrs.frozen(kw_only=True)
class UploadRequest:
    """
    What a client requests of a new upload: its kind, its length if that is known yet, and the file it becomes.
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
    The progress of an upload: `offset` bytes are durable, and the next one is appended there.
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
    Create an upload and reserve its announced length of its owner's quota.

    The name of a partial upload never becomes a file's, and is not checked.

    Raises, storing nothing:
        FileTypeNotAllowed: the policy does not allow the name's extension.
        FileTooLarge: the length exceeds what the policy allows.
        QuotaExceeded: the length does not fit into the owner's quota.
        BlobStoreFull: the length does not fit into the store.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    ids: IdGenerator
    clock: Clock
    entropy: Entropy
    keyring: KeyRing
    policy: VaultPolicy
    capacity: CapacityCheck

    def __call__(self, *, owner: UserId, request: UploadRequest) -> Progress:
        return self.with_session(owner=owner, request=request)[0]

    def with_session(self, *, owner: UserId, request: UploadRequest) -> tuple[Progress, UploadSession]:
        """
        The same, together with a session for a caller that stores the parts at once, or aborts it.
        """
        if request.kind is not UploadKind.PARTIAL:
            self.policy.check_name(request.name)
        length = request.length or 0
        self.policy.check_size(length)
        key = Secret(self.entropy.random_bytes(FILE_KEY_BYTES))
        file = File(
            id=FileId(self.ids.new()),
            owner=owner,
            name=request.name,
            original_name=request.name,
            media_type=request.media_type,
            created_at=self.clock.now(),
            terms=request.terms,
        )
        resumable = ResumableUpload(
            file_id=file.id,
            kind=request.kind,
            length=request.length,
            is_public=request.is_public,
            metadata=request.metadata,
            sources=request.sources,
        )
        session = UploadSession(file=file, key=key, is_persisted=False)
        persist_intent(
            self.begin, session, self.keyring, self.policy, need=length, room=self.capacity, resumable=resumable
        )
        return Progress(file=session.file, upload=resumable, offset=0), session


@attrs.frozen(kw_only=True)
class FindUpload:
    """
    Find the progress of one of the owner's uploads.

    An upload that has received no byte for `idle` has expired, whether a sweep has removed it or not.

    Raises:
        FileNotFound: the owner has no such upload, or it has ended.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    clock: Clock
    idle: timedelta

    def __call__(self, *, owner: UserId, file_id: FileId) -> Progress:
        with self.begin(read_only=True) as unit:
            return self.within(unit, owner=owner, file_id=file_id)

    def within(self, unit: VaultUnit, *, owner: UserId, file_id: FileId) -> Progress:
        """
        Find it within a unit of work that is already open.
        """
        file, upload = unit.files.get(file_id), unit.uploads.get(file_id)
        if file is None or upload is None or file.owner != owner or file.state in DELETION_STATES:
            raise FileNotFound
        now = self.clock.now()
        if file.is_expired(now) or (file.state is FileState.RECEIVING and file.touched_at <= now - self.idle):
            raise FileNotFound
        offset = file.size if file.state is FileState.SEALED else unit.manifests.totals(file_id)[1]
        return Progress(file=file, upload=upload, offset=offset)


@attrs.frozen(kw_only=True)
class FinishUpload:
    """
    Seal an upload whose bytes were all received; one that lacks bytes, or is a partial one, stays as it is.

    However many callers finish it, and however often, one file results.

    Raises:
        FileNotFound: the owner has no such upload, or it has ended.
    """

    find: FindUpload
    keyring: KeyRing
    seal: Seal

    def __call__(self, *, owner: UserId, file_id: FileId) -> Progress:
        found = self.find(owner=owner, file_id=file_id)
        if found.is_sealed or not found.is_complete or found.upload.kind is not UploadKind.WHOLE:
            return found
        # Another caller has sealed or aborted it meanwhile; the next look finds which.
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
        session = UploadSession(file=file, key=key, reserved_bytes=received, offset=received, recorded_parts=parts)
        self.seal(session, terms=file.terms, public=found.upload.is_public)


@attrs.frozen(kw_only=True)
class TerminateUpload:
    """
    Abort an upload and delete what was received of it; one that has become a file is deleted like any other.

    If the parts cannot be deleted at once they are unreadable, and the next sweep continues. A caller may take the
    steps itself: `condemn`, then those of `DeleteFile`.

    Raises:
        FileNotFound: the owner has no such upload, or it has ended.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    clock: Clock
    find: FindUpload
    blobs: BlobStore
    delete: DeleteFile

    def __call__(self, *, owner: UserId, file_id: FileId) -> None:
        self.condemn(owner=owner, file_id=file_id)
        with suppress(SftError):
            purge(self.begin, self.blobs, file_id)

    def condemn(self, *, owner: UserId, file_id: FileId) -> None:
        """
        Destroy the file's key and set its state, in one commit; from then on it is deleted for every caller.
        """
        found = self.find(owner=owner, file_id=file_id)
        with self.begin() as unit:
            won = unit.files.replace(found.file.aborted(self.clock.now()), expected=FileState.RECEIVING)
            unit.commit()
        if not won:
            self.delete.condemn(owner=owner, file_id=file_id)
