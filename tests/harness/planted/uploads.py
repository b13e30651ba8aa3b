"""
Broken repositories of resumable uploads and manifests, based on the in-memory ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from sft_adapters.memory.tables import Manifests, ResumableUploads
from sft_core.values import FileId
from sft_core.vault.model import Part, ResumableUpload


class IgnoresTheFencingToken(ResumableUploads):
    """
    Every earlier writer stays current, so late bytes of a hung request are stored.
    """

    def is_current(self, file_id: FileId, fencing_token: int) -> bool:
        upload = self.write().uploads.get(file_id)
        return upload is not None and 0 < fencing_token <= upload.fencing_token


class ReusesTheFencingToken(ResumableUploads):
    """
    A takeover reuses the previous fencing token, so two writers have the same one.
    """

    def acquire(self, file_id: FileId) -> int | None:
        writer = super().acquire(file_id)
        upload = self.write().uploads.get(file_id)
        if upload is None or writer is None:
            return None
        self.write().uploads[file_id] = attrs.evolve(upload, fencing_token=1)
        return 1


class SetsTheLengthAgain(ResumableUploads):
    """
    A later length replaces the first one.
    """

    def set_length(self, file_id: FileId, length: int) -> bool:
        uploads, upload = self.write().uploads, self.get(file_id)
        if upload is None:
            return False
        uploads[file_id] = attrs.evolve(upload, length=length)
        return upload.length is None


class TreatsZeroAsUnset(ResumableUploads):
    """
    A length of 0 is treated as unset.
    """

    def set_length(self, file_id: FileId, length: int) -> bool:
        uploads, upload = self.write().uploads, self.get(file_id)
        if upload is None or upload.length:
            return False
        uploads[file_id] = attrs.evolve(upload, length=length)
        return True


class LosesSources(ResumableUploads):
    """
    The sources of a final upload lose their order, and all but two are dropped.
    """

    def add(self, upload: ResumableUpload) -> None:
        super().add(attrs.evolve(upload, sources=tuple(sorted(upload.sources, reverse=True))[:2]))


class ReplacesTheUpload(ResumableUploads):
    """
    A second upload of a file replaces the first one.
    """

    def add(self, upload: ResumableUpload) -> None:
        self.write().uploads[upload.file_id] = upload


class ReturnsTheFirstParts(Manifests):
    """
    The first parts are returned instead of the last ones.
    """

    def tail(self, file_id: FileId, *, limit: int) -> Sequence[Part]:
        return self.read().parts.get(file_id, ())[:limit]


class TruncatesOnePartLate(Manifests):
    """
    The part with the given number is not removed.
    """

    def truncate(self, file_id: FileId, number: int) -> None:
        super().truncate(file_id, number + 1)
