"""
Concatenation of partial uploads to a file of their owner.

The file has a key of its own, so the partial uploads are read, authenticated and encrypted again, one part at a time,
in no more memory than any transfer, and in none between two parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import attrs

from sft_core.errors import PartialUploadIncomplete, SftError
from sft_core.values import ByteRange, UserId
from sft_core.vault.model import File, UploadKind
from sft_core.vault.ports import Buffer
from sft_core.vault.use_cases.read import ReadFile
from sft_core.vault.use_cases.resumable import CreateUpload, FindUpload, Progress, TerminateUpload, UploadRequest
from sft_core.vault.use_cases.seal import Seal
from sft_core.vault.use_cases.store import parts_of
from sft_core.vault.use_cases.store_part import StorePart
from sft_core.vault.use_cases.upload_session import UploadSession


@attrs.define(kw_only=True)
class Concatenation:
    """
    A final upload in progress and its sources; used by one task at a time.
    """

    progress: Progress
    upload: UploadSession
    sources: Sequence[Progress]

    @property
    def remaining_bytes(self) -> int:
        return sum(source.offset for source in self.sources) - self.upload.received


@attrs.frozen(kw_only=True)
class ConcatenateUploads:
    """
    Begin a final upload and reserve the sum of its sources' lengths, beside theirs.

    Each `step` stores a part of it, `seal_file` makes it a file, and `remove_sources` deletes what it was made of. A
    caller that stops aborts `Concatenation.upload`.

    Raises, storing nothing, what `CreateUpload` raises, and:
        FileNotFound: the owner has no such partial upload.
        PartialUploadIncomplete: a source is not a partial upload, or lacks bytes.
    """

    create: CreateUpload
    find: FindUpload
    read: ReadFile
    store_part: StorePart
    seal: Seal
    terminate: TerminateUpload
    part_size: int

    def __call__(self, *, owner: UserId, request: UploadRequest) -> Concatenation:
        sources = [self.find(owner=owner, file_id=source) for source in request.sources]
        if any(source.upload.kind is not UploadKind.PARTIAL or not source.is_complete for source in sources):
            raise PartialUploadIncomplete
        total = sum(source.offset for source in sources)
        progress, upload = self.create.with_session(owner=owner, request=attrs.evolve(request, length=total))
        return Concatenation(progress=progress, upload=upload, sources=sources)

    def step(self, concatenation: Concatenation, *, at_most: int | None = None) -> bool:
        """
        Store the next part, of `at_most` bytes if given; False if none is left.
        """
        size = min(concatenation.remaining_bytes, self.part_size, self.part_size if at_most is None else at_most)
        if not size:
            return False
        start = concatenation.upload.received
        content = self._content(concatenation.sources, ByteRange(start, start + size))
        for part in parts_of(content, size):
            self.store_part(concatenation.upload, part)
        return True

    def finish(self, concatenation: Concatenation) -> File:
        file = self.seal_file(concatenation)
        self.remove_sources(concatenation)
        return file

    def seal_file(self, concatenation: Concatenation) -> File:
        progress = concatenation.progress
        return self.seal(concatenation.upload, terms=progress.file.terms, public=progress.upload.is_public).file

    def remove_sources(self, concatenation: Concatenation) -> None:
        """
        Delete the sources of a sealed file; one that cannot be deleted now expires.
        """
        for source in concatenation.sources:
            with suppress(SftError):
                self.terminate(owner=source.file.owner, file_id=source.file.id)

    def _content(self, sources: Sequence[Progress], span: ByteRange) -> Iterator[Buffer]:
        start = 0
        for source in sources:
            wanted = ByteRange(start, start + source.offset).intersection(span).shifted(-start)
            if len(wanted):
                yield from self.read(attrs.evolve(source.file, size=source.offset), wanted)
            start += source.offset
