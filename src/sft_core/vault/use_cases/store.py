"""
Store a file whose bytes are at hand, with all steps in one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import attrs

from sft_core.errors import KeyRetired, QuotaExceeded, SftError
from sft_core.values import OCTET_STREAM, FileName, MediaType, UserId
from sft_core.vault.model import File
from sft_core.vault.ports import Buffer
from sft_core.vault.use_cases.delete import AbortUpload
from sft_core.vault.use_cases.upload import BeginUpload, SealUpload, StorePart
from sft_core.vault.use_cases.upload_session import Upload


@attrs.frozen(kw_only=True)
class StoreFile:
    """
    Store a file from bytes at hand, in parts; abort it on an error.

    If aborting fails as well, the first error is raised, with a note about the second: the parts left
    are unreadable, and the next sweep deletes them. Only an error of the final commit does not abort, since
    its outcome is unknown and the file may have been sealed.
    """

    begin_upload: BeginUpload
    store_part: StorePart
    seal: SealUpload
    abort: AbortUpload

    def __call__(
        self,
        *,
        owner: UserId,
        name: FileName,
        content: Iterable[Buffer],
        media_type: MediaType = OCTET_STREAM,
        announced_size: int | None = None,
    ) -> File:
        parts = parts_of(content, self.begin_upload.part_size)
        if announced_size is None:
            first = next(parts, memoryview(b""))
            parts = chain((first,), parts)
            if len(first) < self.begin_upload.part_size:
                announced_size = len(first)
        upload = self.begin_upload(owner=owner, name=name, media_type=media_type, announced_size=announced_size)
        try:
            for part in parts:
                self.store_part(upload, part)
            self.seal.complete(upload)
        except BaseException as error:
            self._give_up(upload, error)
            raise
        # Outside the handler above: after an error from a commit the outcome is unknown, and a file that may
        # have been sealed must not be deleted.
        try:
            return self.seal(upload)
        except (KeyRetired, QuotaExceeded) as error:
            self._give_up(upload, error)
            raise

    def _give_up(self, upload: Upload, error: BaseException) -> None:
        try:
            self.abort(upload)
        except SftError as failure:
            error.add_note(f"the parts stored so far could not be deleted: {failure.code}")


def parts_of(content: Iterable[Buffer], part_size: int) -> Iterator[memoryview]:
    """
    Regroup buffers of any size into parts of `part_size` bytes.

    The last part may be shorter. The parts share one buffer: each is valid until the next is requested.
    """
    buffer = bytearray(part_size)
    filled = 0
    with memoryview(buffer) as view:
        for piece in content:
            rest = memoryview(piece).cast("B")
            while rest:
                taken = min(len(rest), part_size - filled)
                view[filled : filled + taken] = rest[:taken]
                filled += taken
                rest = rest[taken:]
                if filled == part_size:
                    yield view
                    filled = 0
        if filled:
            yield view[:filled]
