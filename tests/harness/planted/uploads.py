"""
Broken repositories of resumable uploads, planted in those in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from sft_adapters.memory.tables import Manifests, ResumableUploads
from sft_core.values import FileId
from sft_core.vault.model import Part, ResumableUpload


class EverybodyWrites(ResumableUploads):
    """
    Whoever has once taken the upload over may add to it for ever: the late bytes of a hung request land.
    """

    def is_current(self, file_id: FileId, fencing_token: int) -> bool:
        upload = self.write().uploads.get(file_id)
        return upload is not None and 0 < fencing_token <= upload.fencing_token


class TakesOverWithoutANewNumber(ResumableUploads):
    """
    A takeover that changes nothing: two hold the same number.
    """

    def acquire(self, file_id: FileId) -> int | None:
        writer = super().acquire(file_id)
        upload = self.write().uploads.get(file_id)
        if upload is None or writer is None:
            return None
        self.write().uploads[file_id] = attrs.evolve(upload, fencing_token=1)
        return 1


class AnnouncesAgain(ResumableUploads):
    """
    The last length that is announced is right.
    """

    def set_length(self, file_id: FileId, length: int) -> bool:
        uploads, upload = self.write().uploads, self.get(file_id)
        if upload is None:
            return False
        uploads[file_id] = attrs.evolve(upload, length=length)
        return upload.length is None


class TakesZeroForUnknown(ResumableUploads):
    """
    An announced length of nothing counts as none.
    """

    def set_length(self, file_id: FileId, length: int) -> bool:
        uploads, upload = self.write().uploads, self.get(file_id)
        if upload is None or upload.length:
            return False
        uploads[file_id] = attrs.evolve(upload, length=length)
        return True


class ForgetsTheSources(ResumableUploads):
    """
    What a final upload is made of is kept without its order.
    """

    def add(self, upload: ResumableUpload) -> None:
        super().add(attrs.evolve(upload, sources=tuple(sorted(upload.sources, reverse=True))[:2]))


class AddsOverAnother(ResumableUploads):
    """
    A second upload beside one file replaces the first.
    """

    def add(self, upload: ResumableUpload) -> None:
        self.write().uploads[upload.file_id] = upload


class TailFromTheFront(Manifests):
    """
    The first parts are taken for the last ones.
    """

    def tail(self, file_id: FileId, *, limit: int) -> Sequence[Part]:
        return self.read().parts.get(file_id, ())[:limit]


class CutsBehindTheNumber(Manifests):
    """
    The part of the number itself stays.
    """

    def truncate(self, file_id: FileId, number: int) -> None:
        super().truncate(file_id, number + 1)
