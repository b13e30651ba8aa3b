"""
Abort an upload; delete a file.
"""

from __future__ import annotations

from contextlib import suppress

import attrs

from sft_core.errors import FileNotFound, SftError
from sft_core.ports import Clock, UnitOfWorkFactory
from sft_core.values import FileId, UserId
from sft_core.vault.model import FileState, blob_prefix
from sft_core.vault.ports import BlobStore, VaultUnit
from sft_core.vault.use_cases.read import FindFile
from sft_core.vault.use_cases.upload_session import UploadSession


@attrs.frozen(kw_only=True)
class AbortUpload:
    """
    Abort an upload and leave nothing of it; one that was sealed meanwhile stays whole.

    After an error the caller may retry: a removal that has begun is continued.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    clock: Clock
    blobs: BlobStore

    def __call__(self, upload: UploadSession) -> None:
        if not upload.is_persisted:
            for part in upload.pending:
                self.blobs.delete(part.blob_key)
            return
        with self.begin() as unit:
            won = unit.files.replace(upload.file.aborted(self.clock.now()), expected=FileState.RECEIVING)
            file = None if won else unit.files.get(upload.file.id)
            unit.commit()
        if won or (file is not None and file.state is FileState.ABORTING):
            purge(self.begin, self.blobs, upload.file.id)


@attrs.frozen(kw_only=True)
class DeleteFile:
    """
    Delete a file: its key first, then its parts, then its rows.

    It is deleted for every caller with its key, in one commit: `condemn`, which raises `FileNotFound` if the owner has
    no such file. If the parts cannot be removed at once they are unreadable, the row stays `DELETING`, and the next
    sweep continues. A caller may take the steps itself: `condemn` and `remove_rows` use the database only,
    `delete_blobs` the blob store; the last two are safe to repeat.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    clock: Clock
    find: FindFile
    blobs: BlobStore

    def __call__(self, *, owner: UserId, file_id: FileId) -> None:
        self.condemn(owner=owner, file_id=file_id)
        with suppress(SftError):
            purge(self.begin, self.blobs, file_id)

    def condemn(self, *, owner: UserId, file_id: FileId) -> None:
        with self.begin() as unit:
            file = self.find.within(unit, owner=owner, file_id=file_id)
            if not unit.files.replace(file.deleting(self.clock.now()), expected=FileState.SEALED):
                raise FileNotFound
            unit.commit()

    def delete_blobs(self, file_id: FileId) -> None:
        _delete_blobs(self.blobs, file_id)

    def remove_rows(self, file_id: FileId) -> None:
        _remove_rows(self.begin, file_id)


def purge(begin: UnitOfWorkFactory[VaultUnit], blobs: BlobStore, file_id: FileId) -> None:
    """
    Delete an aborting or deleting file's blobs, then its rows and reservation; safe to repeat.
    """
    _delete_blobs(blobs, file_id)
    _remove_rows(begin, file_id)


def _delete_blobs(blobs: BlobStore, file_id: FileId) -> None:
    for blob in list(blobs.list(blob_prefix(file_id))):
        blobs.delete(blob.key)


def _remove_rows(begin: UnitOfWorkFactory[VaultUnit], file_id: FileId) -> None:
    with begin() as unit:
        unit.quotas.release(file_id)
        unit.files.remove(file_id)
        unit.commit()
