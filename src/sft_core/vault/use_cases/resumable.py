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
from sft_core.ports import Clock, KeyRing, UnitOfWorkFactory
from sft_core.values import FileId, FileName, MediaType, UserId
from sft_core.vault.model import DELETION_STATES, File, FileState, ResumableUpload, ShareTerms, UploadKind
from sft_core.vault.ports import VaultUnit
from sft_core.vault.use_cases.delete import DeleteFile, purge
from sft_core.vault.use_cases.read import file_key
from sft_core.vault.use_cases.seal import Seal
from sft_core.vault.use_cases.upload import BeginUpload, persist_intent
from sft_core.vault.use_cases.upload_session import UploadSession


@attrs.frozen(kw_only=True)
class UploadRequest:
    """
    A client's request for an upload: its kind, its length if known, and its file.
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
    An upload's progress: `offset` bytes are durable, and the next is appended there.
    """

    file: File
    upload: ResumableUpload
    offset: int

    @property
    def is_sealed(self) -> bool:
        return self.file.state is FileState.SEALED

    @property
    def is_complete(self) -> bool:
        return self.is_sealed or self.offset == self.upload.length


@attrs.frozen(kw_only=True)
class CreateUpload:
    """
    Create an upload and reserve its announced length of its owner's quota.

    The name of a partial upload never becomes a file's, and is not checked. Raises what `BeginUpload` raises.
    """

    begin_upload: BeginUpload

    def __call__(self, *, owner: UserId, request: UploadRequest) -> Progress:
        return self.with_session(owner=owner, request=request)[0]

    def with_session(self, *, owner: UserId, request: UploadRequest) -> tuple[Progress, UploadSession]:
        """
        Also return a session, for a caller that stores the parts at once or aborts.
        """
        begin, length = self.begin_upload, request.length or 0
        if request.kind is not UploadKind.PARTIAL:
            begin.policy.check_name(request.name)
        begin.policy.check_size(length)
        session = begin.new_session(owner, request.name, request.media_type, request.terms)
        resumable = ResumableUpload(
            file_id=session.file.id,
            kind=request.kind,
            length=request.length,
            is_public=request.is_public,
            metadata=request.metadata,
            sources=request.sources,
        )
        persist_intent(
            begin.begin, session, begin.keyring, begin.policy, need=length, capacity=begin.capacity, resumable=resumable
        )
        return Progress(file=session.file, upload=resumable, offset=0), session


@attrs.frozen(kw_only=True)
class FindUpload:
    """
    Return the progress of an owner's upload; raise `FileNotFound` if none, or it has ended.

    An upload that has received no byte for `idle` has ended, whether a sweep has removed it or not.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    clock: Clock
    idle: timedelta

    def __call__(self, *, owner: UserId, file_id: FileId) -> Progress:
        with self.begin(read_only=True) as unit:
            return self.within(unit, owner=owner, file_id=file_id)

    def within(self, unit: VaultUnit, *, owner: UserId, file_id: FileId) -> Progress:
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
    Seal an upload whose bytes were all received; any other or partial one stays.

    However many callers finish it, and however often, one file results. Raises what `FindUpload` raises.
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
        key = file_key(self.keyring, file)
        with self.find.begin(read_only=True) as unit:
            parts, received = unit.manifests.totals(file.id)
        session = UploadSession(file=file, key=key, reserved_bytes=received, offset=received, recorded_parts=parts)
        self.seal(session, terms=file.terms, public=found.upload.is_public)


@attrs.frozen(kw_only=True)
class TerminateUpload:
    """
    Abort an upload and delete what was received, or the file that it has become.

    If the parts cannot be deleted at once they are unreadable, and the next sweep continues. A caller may take the
    steps itself: `condemn`, then those of `delete`. Raises what `FindUpload` raises.
    """

    find: FindUpload
    delete: DeleteFile

    def __call__(self, *, owner: UserId, file_id: FileId) -> None:
        self.condemn(owner=owner, file_id=file_id)
        with suppress(SftError):
            purge(self.delete.begin, self.delete.blobs, file_id)

    def condemn(self, *, owner: UserId, file_id: FileId) -> None:
        found = self.find(owner=owner, file_id=file_id)
        with self.delete.begin() as unit:
            won = unit.files.replace(found.file.aborted(self.delete.clock.now()), expected=FileState.RECEIVING)
            unit.commit()
        if not won:
            self.delete.condemn(owner=owner, file_id=file_id)
