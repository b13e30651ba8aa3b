"""
Any history of resumable uploads, held against plain byte strings.
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
class Plain:
    """
    An upload as the oracle sees it: its bytes, how many were announced, who writes, whether it is over.
    """

    content: bytes
    length: int | None
    writer: int = 0
    is_sealed: bool = False
    is_over: bool = False

    @property
    def held(self) -> int:
        return len(self.content) if self.length is None else self.length


@attrs.frozen
class Hand:
    """
    A request that goes on with an upload, and its turn.
    """

    plain: Plain
    writing: UploadSession
    turn: int


class Uploads(RuleBasedStateMachine):
    """
    Uploads are created, gone on with, broken off, checked, fenced, finished and ended in any order.
    """

    uploads: Bundle[tuple[FileId, Plain]] = Bundle("uploads")
    hands: Bundle[Hand] = Bundle("hands")

    def __init__(self) -> None:
        super().__init__()
        environ = {**LIGHT, "MAX_FILE_SIZE": str(LARGEST), "USER_QUOTA": str(QUOTA)}
        self.sft = in_small_parts(memory_application(environ=environ))
        self.maya = register(self.sft, "maya")
        self.plain: dict[FileId, Plain] = {}

    def room(self) -> int:
        return QUOTA - sum(plain.held for plain in self.plain.values() if not plain.is_over)

    @rule(target=uploads, length=st.none() | st.integers(0, LARGEST + 2))
    def create(self, length: int | None) -> Any:
        fits = (length or 0) <= LARGEST
        held = (length or 0) <= self.room()
        try:
            progress = self.sft.vault.create_upload(owner=self.maya.id, request=asked(length))
        except FileTooLarge:
            assert not fits
            return multiple()
        except QuotaExceeded:
            assert fits
            assert not held
            return multiple()
        assert fits
        assert held
        plain = self.plain[progress.file.id] = Plain(b"", length)
        return progress.file.id, plain

    @rule(target=hands, upload=uploads, off=st.sampled_from([0, 0, 0, 1]), length=st.none() | st.integers(0, LARGEST))
    def go_on(self, upload: tuple[FileId, Plain], off: int, length: int | None) -> Any:
        file_id, plain = upload
        wanted = len(plain.content) + off
        length = None if length is None else max(length, len(plain.content))
        try:
            session = acquire(self.sft, self.maya, file_id, wanted, length)
        except FileNotFound:
            assert plain.is_over
            return multiple()
        except OffsetMismatch as told:
            assert (off, told.offset) == (1, len(plain.content))  # noqa: PT017 (only if it is raised)
            return multiple()
        except UploadLengthConflict:
            assert plain.length not in {None, length}
            return multiple()
        except QuotaExceeded:
            assert length is not None
            assert length - plain.held > self.room()
            return multiple()
        assert not plain.is_over
        assert not off
        plain.length = plain.length if length is None else length
        plain.writer += 1
        return Hand(plain, session, plain.writer)

    @rule(hand=hands, chunk=st.binary(max_size=PART), recorded=st.booleans())
    def bring(self, hand: Hand, chunk: bytes, *, recorded: bool) -> None:
        """Bytes come; or they wait for a checksum that turns out to be wrong."""
        plain, append = hand.plain, self.sft.vault.store_part
        grown = plain.content + chunk
        is_writer = not plain.is_over and not plain.is_sealed and hand.turn == plain.writer
        try:
            store_provisionally(append, hand.writing, chunk)
            if not recorded:
                discard(append, hand.writing)
                return
            record(append, hand.writing)
        except (UploadTakenOver, UploadAborted):
            assert not is_writer
        except FileTooLarge:
            assert not is_writer or len(grown) > (LARGEST if plain.length is None else plain.length)
        except QuotaExceeded:
            assert plain.length is None
            assert len(chunk) > self.room()
        else:
            if chunk:
                assert is_writer
                plain.content = grown

    @rule(upload=uploads)
    def finish(self, upload: tuple[FileId, Plain]) -> None:
        file_id, plain = upload
        try:
            progress = self.sft.vault.finish_upload(owner=self.maya.id, file_id=file_id)
        except FileNotFound:
            assert plain.is_over
            return
        assert progress.is_sealed == (len(plain.content) == plain.length)
        plain.is_sealed = progress.is_sealed
        if plain.is_sealed:
            assert read(self.sft, self.maya, file_id) == plain.content

    @rule(upload=consumes(uploads))
    def end(self, upload: tuple[FileId, Plain]) -> None:
        file_id, plain = upload
        self.sft.vault.terminate_upload(owner=self.maya.id, file_id=file_id)
        plain.is_over = True

    @invariant()
    def every_offset_is_kept(self) -> None:
        for file_id, plain in self.plain.items():
            if not plain.is_over:
                progress = found(self.sft, self.maya, file_id)
                assert (progress.offset, progress.is_sealed) == (len(plain.content), plain.is_sealed)
                whole = attrs.evolve(progress.file, size=progress.offset)
                assert b"".join(map(bytes, self.sft.vault.read_file(whole))) == plain.content

    @invariant()
    def nothing_else_is_stored_or_counted(self) -> None:
        assert keys(self.sft) == recorded(self.sft)
        assert used(self.sft, self.maya) == QUOTA - self.room()

    @invariant()
    def manifests_stay_short(self) -> None:
        for file_id, plain in self.plain.items():
            if not plain.is_over:
                short = PART.bit_length()
                assert len(manifest(self.sft.vault.store_part, file_id)) <= (1 + len(plain.content) // PART) * (
                    1 + short
                )


TestUploads = Uploads.TestCase
TestUploads.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
