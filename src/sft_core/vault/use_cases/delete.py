"""
Abort an upload; delete a file.
"""

from __future__ import annotations

import attrs

from sft_core.errors import FileNotFound, SftError
from sft_core.ports import Begin, Clock
from sft_core.values import FileId, UserId
from sft_core.vault.model import FileState, blob_prefix
from sft_core.vault.ports import BlobStore, VaultUnit
from sft_core.vault.use_cases.read import FindFile
from sft_core.vault.use_cases.upload_session import Upload


@attrs.frozen(kw_only=True)
class AbortUpload:
    """
    Abort an upload and delete everything stored for it.

    An upload that was sealed in the meantime is kept. After an error the caller may retry: an
    unfinished deletion is resumed.
    """

    begin: Begin[VaultUnit]
    clock: Clock
    blobs: BlobStore

    def __call__(self, upload: Upload) -> None:
        if not upload.intended:
            for part in upload.unrecorded:
                self.blobs.delete(part.blob_key)
            return
        with self.begin() as unit:
            won = unit.files.replace(upload.file.aborted(self.clock.now()), expected=FileState.RECEIVING)
            is_over = won or self._is_aborting(unit, upload.file.id)
            unit.commit()
        if is_over:
            purge(self.begin, self.blobs, upload.file.id)

    def _is_aborting(self, unit: VaultUnit, upload: FileId) -> bool:
        file = unit.files.get(upload)
        return file is not None and file.state is FileState.ABORTING


@attrs.frozen(kw_only=True)
class DeleteFile:
    """
    Delete a file: its key first, then its parts, then its rows.

    The file is deleted once its key is destroyed. If the parts cannot be deleted then, they are
    unreadable, the row stays `DELETING`, and the next sweep completes the deletion.

    Raises:
        FileNotFound: The owner has no live file with this id.
    """

    begin: Begin[VaultUnit]
    clock: Clock
    find: FindFile
    blobs: BlobStore

    def __call__(self, *, owner: UserId, file_id: FileId) -> None:
        with self.begin() as unit:
            file = self.find.within(unit, owner=owner, file_id=file_id)
            if not unit.files.replace(file.condemned(self.clock.now()), expected=FileState.SEALED):
                raise FileNotFound
            unit.commit()
        try:
            purge(self.begin, self.blobs, file.id)
        except SftError:
            return


def purge(begin: Begin[VaultUnit], blobs: BlobStore, file_id: FileId) -> None:
    """
    Delete a file's blobs, then its rows, in a deletion state; safe to repeat.

    The quota reservation is released only after the blobs are deleted.
    """
    for blob in list(blobs.list(blob_prefix(file_id))):
        blobs.delete(blob.key)
    with begin() as unit:
        unit.quotas.release(file_id)
        unit.files.remove(file_id)
        unit.commit()
