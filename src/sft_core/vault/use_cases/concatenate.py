"""
Concatenate partial uploads to a file of their owner.

The file gets its own key, so the sources are read, authenticated and encrypted again, one part at a
time: memory use is that of any transfer, and none between two parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import attrs

from sft_core.errors import PartialUnfinished, SftError
from sft_core.values import ByteRange, UserId
from sft_core.vault.model import File, UploadKind
from sft_core.vault.ports import Buffer
from sft_core.vault.use_cases import ReadFile, StorePart, Upload, parts_of
from sft_core.vault.use_cases.resumable import CreateUpload, FindUpload, Progress, Seal, TerminateUpload, UploadAsked


@attrs.define(kw_only=True)
class Concatenation:
    """
    A final upload in progress and its sources. Used by one task at a time.
    """

    progress: Progress
    upload: Upload
    sources: Sequence[Progress]

    @property
    def left(self) -> int:
        """
        The number of bytes that remain to be stored.
        """
        return sum(source.offset for source in self.sources) - self.upload.received


@attrs.frozen(kw_only=True)
class ConcatenateUploads:
    """
    Start a final upload; `step` stores its parts one by one, and `finish` seals it.

    It reserves quota for the length of all sources, in addition to theirs. A caller that does not
    finish aborts `Concatenation.upload`. On an error nothing is stored. Other errors are those of
    `CreateUpload`.

    Raises:
        FileNotFound: A source does not exist or belongs to another owner.
        PartialUnfinished: A source is not a partial upload or is incomplete.
    """

    create: CreateUpload
    find: FindUpload
    read: ReadFile
    store_part: StorePart
    seal: Seal
    seal_and_share: Seal
    terminate: TerminateUpload
    part_size: int

    def __call__(self, *, owner: UserId, asked: UploadAsked) -> Concatenation:
        sources = [self.find(owner=owner, file_id=source) for source in asked.sources]
        if any(source.upload.kind is not UploadKind.PARTIAL or not source.is_complete for source in sources):
            raise PartialUnfinished
        total = sum(source.offset for source in sources)
        progress, upload = self.create.opened(owner=owner, asked=attrs.evolve(asked, length=total))
        return Concatenation(progress=progress, upload=upload, sources=sources)

    def step(self, concatenation: Concatenation, *, at_most: int | None = None) -> bool:
        """
        Store the next part; return False if no bytes remain.

        The part has at most `at_most` bytes, if given.
        """
        size = min(concatenation.left, self.part_size, self.part_size if at_most is None else at_most)
        if not size:
            return False
        start = concatenation.upload.received
        content = self._content(concatenation.sources, ByteRange(start, start + size))
        for part in parts_of(content, size):
            self.store_part(concatenation.upload, part)
        return True

    def finish(self, concatenation: Concatenation) -> File:
        """
        Seal the file, then delete the sources.

        A source that cannot be deleted now is left to the sweep.
        """
        progress = concatenation.progress
        seal = self.seal_and_share if progress.upload.is_public else self.seal
        file = seal(concatenation.upload, terms=progress.file.terms)
        for source in concatenation.sources:
            with suppress(SftError):
                self.terminate(owner=file.owner, file_id=source.file.id)
        return file

    def _content(self, sources: Sequence[Progress], span: ByteRange) -> Iterator[Buffer]:
        start = 0
        for source in sources:
            wanted = ByteRange(start, start + source.offset).intersection(span).shifted(-start)
            if len(wanted):
                yield from self.read(attrs.evolve(source.file, size=source.offset), wanted)
            start += source.offset
