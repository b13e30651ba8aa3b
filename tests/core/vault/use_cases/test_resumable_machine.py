"""
State machine: any history of resumable uploads equals a model of plain byte strings.
"""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from sft_adapters.bootstrap.container import memory_application
from sft_core.errors import (
    FileNotFound,
    FileTooLarge,
    OffsetMismatch,
    QuotaExceeded,
    UploadAborted,
    UploadLengthConflict,
    UploadTakenOver,
)
from sft_core.values import FileId
from sft_core.vault.use_cases import UploadSession
from support.app.library import LIGHT, register
from support.app.resumable import (
    PART,
    acquire,
    asked,
    discard,
    found,
    in_small_parts,
    keys,
    manifest,
    read,
    record,
    recorded,
    store_provisionally,
    used,
)

LARGEST = 90
QUOTA = 200


@attrs.define
class UploadModel:
    """
    The model of an upload: its bytes, announced length, current writer, and whether it has ended.
    """

    content: bytes
    length: int | None
    writer: int = 0
    is_sealed: bool = False
    has_ended: bool = False

    @property
    def reserved(self) -> int:
        return len(self.content) if self.length is None else self.length


@attrs.frozen
class Request:
    """
    A request that appends to an upload, with its fencing token in the model.
    """

    plain: UploadModel
    session: UploadSession
    fencing_token: int


class Uploads(RuleBasedStateMachine):
    """
    Uploads are created, resumed, interrupted, verified, fenced, finished and terminated in any order.
    """

    uploads: Bundle[tuple[FileId, UploadModel]] = Bundle("uploads")
    requests: Bundle[Request] = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        environ = {**LIGHT, "MAX_FILE_SIZE": str(LARGEST), "USER_QUOTA": str(QUOTA)}
        self.sft = in_small_parts(memory_application(environ=environ))
        self.maya = register(self.sft, "maya")
        self.plain: dict[FileId, UploadModel] = {}

    def free_quota(self) -> int:
        return QUOTA - sum(plain.reserved for plain in self.plain.values() if not plain.has_ended)

    @rule(target=uploads, length=st.none() | st.integers(0, LARGEST + 2))
    def create(self, length: int | None) -> Any:
        fits = (length or 0) <= LARGEST
        reserved = (length or 0) <= self.free_quota()
        try:
            progress = self.sft.vault.create_upload(owner=self.maya.id, request=asked(length))
        except FileTooLarge:
            assert not fits
            return multiple()
        except QuotaExceeded:
            assert fits
            assert not reserved
            return multiple()
        assert fits
        assert reserved
        plain = self.plain[progress.file.id] = UploadModel(b"", length)
        return progress.file.id, plain

    @rule(
        target=requests, upload=uploads, off=st.sampled_from([0, 0, 0, 1]), length=st.none() | st.integers(0, LARGEST)
    )
    def resume(self, upload: tuple[FileId, UploadModel], off: int, length: int | None) -> Any:
        file_id, plain = upload
        wanted = len(plain.content) + off
        length = None if length is None else max(length, len(plain.content))
        try:
            session = acquire(self.sft, self.maya, file_id, wanted, length)
        except FileNotFound:
            assert plain.has_ended
            return multiple()
        except OffsetMismatch as mismatch:
            assert (off, mismatch.offset) == (1, len(plain.content))  # noqa: PT017 (only if it is raised)
            return multiple()
        except UploadLengthConflict:
            assert plain.length not in {None, length}
            return multiple()
        except QuotaExceeded:
            assert length is not None
            assert length - plain.reserved > self.free_quota()
            return multiple()
        assert not plain.has_ended
        assert not off
        plain.length = plain.length if length is None else length
        plain.writer += 1
        return Request(plain, session, plain.writer)

    @rule(request=requests, chunk=st.binary(max_size=PART), recorded=st.booleans())
    def append_chunk(self, request: Request, chunk: bytes, *, recorded: bool) -> None:
        """Store a chunk, or discard it as one whose checksum was wrong."""
        plain, append = request.plain, self.sft.vault.store_part
        grown = plain.content + chunk
        is_writer = not plain.has_ended and not plain.is_sealed and request.fencing_token == plain.writer
        try:
            store_provisionally(append, request.session, chunk)
            if not recorded:
                discard(append, request.session)
                return
            record(append, request.session)
        except (UploadTakenOver, UploadAborted):
            assert not is_writer
        except FileTooLarge:
            assert not is_writer or len(grown) > (LARGEST if plain.length is None else plain.length)
        except QuotaExceeded:
            assert plain.length is None
            assert len(chunk) > self.free_quota()
        else:
            if chunk:
                assert is_writer
                plain.content = grown

    @rule(upload=uploads)
    def finish(self, upload: tuple[FileId, UploadModel]) -> None:
        file_id, plain = upload
        try:
            progress = self.sft.vault.finish_upload(owner=self.maya.id, file_id=file_id)
        except FileNotFound:
            assert plain.has_ended
            return
        assert progress.is_sealed == (len(plain.content) == plain.length)
        plain.is_sealed = progress.is_sealed
        if plain.is_sealed:
            assert read(self.sft, self.maya, file_id) == plain.content

    @rule(upload=consumes(uploads))
    def terminate(self, upload: tuple[FileId, UploadModel]) -> None:
        file_id, plain = upload
        self.sft.vault.terminate_upload(owner=self.maya.id, file_id=file_id)
        plain.has_ended = True

    @invariant()
    def every_offset_matches_the_model(self) -> None:
        for file_id, plain in self.plain.items():
            if not plain.has_ended:
                progress = found(self.sft, self.maya, file_id)
                assert (progress.offset, progress.is_sealed) == (len(plain.content), plain.is_sealed)
                whole = attrs.evolve(progress.file, size=progress.offset)
                assert b"".join(map(bytes, self.sft.vault.read_file(whole))) == plain.content

    @invariant()
    def nothing_else_is_stored_or_counted(self) -> None:
        assert keys(self.sft) == recorded(self.sft)
        assert used(self.sft, self.maya) == QUOTA - self.free_quota()

    @invariant()
    def manifests_stay_short(self) -> None:
        for file_id, plain in self.plain.items():
            if not plain.has_ended:
                short = PART.bit_length()
                assert len(manifest(self.sft.vault.store_part, file_id)) <= (1 + len(plain.content) // PART) * (
                    1 + short
                )


TestUploads = Uploads.TestCase
TestUploads.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
