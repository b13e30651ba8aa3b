"""
Store a file from bytes at hand: every step of an upload in one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import attrs

from sft_core.errors import KeyRetired, QuotaExceeded, SftError
from sft_core.key_retirement import retry_if_key_retired
from sft_core.ports import UnitOfWorkFactory
from sft_core.values import OCTET_STREAM, FileName, MediaType, UserId
from sft_core.vault.model import File, ShareTerms
from sft_core.vault.ports import Buffer, VaultUnit
from sft_core.vault.use_cases.delete import AbortUpload
from sft_core.vault.use_cases.seal import SealWithinUnit
from sft_core.vault.use_cases.store_part import StorePart
from sft_core.vault.use_cases.upload import BeginUpload
from sft_core.vault.use_cases.upload_session import UploadSession


@attrs.frozen(kw_only=True)
class StoreFile:
    """
    Store bytes at hand as a file, in parts; on any error nothing remains.

    If what was stored cannot be deleted at once, the first error is raised all the same: the file's key is destroyed,
    and the next sweep deletes the rest.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    begin_upload: BeginUpload
    store_part: StorePart
    seal: SealWithinUnit
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
        session = self.begin_upload(owner=owner, name=name, media_type=media_type, announced_size=announced_size)
        try:
            for part in parts:
                self.store_part(session, part)
            self.store_part.complete(session)
        except BaseException as error:
            self._abort(session, error)
            raise
        # Not under the handler: an exception out of a commit leaves the outcome unknown, and a
        # file that may have been sealed is never deleted because of it.
        try:
            return retry_if_key_retired(lambda: self._sealed(session))
        except (KeyRetired, QuotaExceeded) as error:
            self._abort(session, error)
            raise

    def _sealed(self, session: UploadSession) -> File:
        with self.begin() as unit:
            file = self.seal(unit, session, terms=ShareTerms())
            unit.commit()
        return file

    def _abort(self, session: UploadSession, error: BaseException) -> None:
        try:
            self.abort(session)
        except SftError as failure:
            error.add_note(f"what was stored of it could not be deleted now: {failure.code}")


def parts_of(content: Iterable[Buffer], part_size: int) -> Iterator[memoryview]:
    """
    Regroup buffers into parts of `part_size` bytes, each valid until the next is requested.
    """
    buffer = bytearray(part_size)
    filled = 0
    with memoryview(buffer) as view:
        for piece in content:
            rest = memoryview(piece).cast("B")
            while rest:
                count = min(len(rest), part_size - filled)
                view[filled : filled + count] = rest[:count]
                filled += count
                rest = rest[count:]
                if filled == part_size:
                    yield view
                    filled = 0
        if filled:
            yield view[:filled]
