"""
Adding to an upload that may be broken off: taken over by one writer, encrypted, recorded.

Short parts are merged. A part that comes is encrypted together with those before it that are not
larger than what has been gathered so far, as long as all of it fits into one part; the new part
takes their place in the same commit. So a byte is encrypted again at most as often as a part can
double until it is full, and between two full parts there are at most as many short ones: however
small the bites, the manifest stays within about twenty rows for each part's size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import attrs

from sft_core.errors import (
    Conflict,
    Damaged,
    FileNotFound,
    FileTooLarge,
    InvalidValue,
    LengthAnnounced,
    OffsetMismatch,
    QuotaExceeded,
    SftError,
    UploadAborted,
    UploadIncomplete,
    UploadIsFinal,
    UploadTakenOver,
)
from sft_core.ports import Begin, Clock, Entropy, KeyRing
from sft_core.values import ByteRange, FileId, Secret, UserId
from sft_core.vault.model import FILE_KEY_PURPOSE, File, FileState, Part, UploadKind, VaultPolicy
from sft_core.vault.ports import BlobStore, Buffer, ContentCipher, VaultUnit
from sft_core.vault.use_cases import TOUCH_INTERVAL, Place, ReadFile, Upload, hold, step_ahead
from sft_core.vault.use_cases.resumable import FindUpload, Progress

TAIL: Final = 48
"""How many parts at the end of a manifest are looked at for merging: more than a part can double."""


@attrs.define(kw_only=True)
class Writing:
    """
    An upload in the hands of its writer. Changed by one task at a time.

    `pending` parts are stored and the manifest does not know of them yet; the first of them takes
    the place of the `merged` ones. `held` bytes of its owner's quota are held for it.
    """

    file: File
    key: Secret
    writer: int
    length: int | None
    offset: int
    held: int
    tail: list[Part]
    pending: list[Part] = attrs.field(factory=list)
    merged: list[Part] = attrs.field(factory=list)

    @property
    def received(self) -> int:
        """
        How many bytes have come, those of pending parts included.
        """
        return self.pending[-1].span.stop if self.pending else self.offset


@attrs.frozen(kw_only=True)
class TakeUpload:
    """
    Become the writer of an upload that stands at `offset`; whoever was it before writes nothing more.

    A length that was left open at creation may be announced now. `OffsetMismatch`, `FileTooLarge`
    or `QuotaExceeded` if `coming` bytes are more than may come, and whatever else is refused leave
    the upload to whom it was.
    """

    begin: Begin[VaultUnit]
    find: FindUpload
    keyring: KeyRing
    policy: VaultPolicy

    def __call__(
        self, *, owner: UserId, file_id: FileId, offset: int, length: int | None = None, coming: int = 0
    ) -> Writing:
        with self.begin() as unit:
            file = unit.files.get(file_id)
            if file is None or file.owner != owner:
                raise FileNotFound
            # It moves nothing, and holds off whoever adds to the upload or ends it.
            unit.files.replace(file, expected=FileState.RECEIVING)
            writer = unit.uploads.take_over(file_id)
            found = self.find.within(unit, owner=owner, file_id=file_id)
            if found.upload.kind is UploadKind.FINAL:
                raise UploadIsFinal
            if writer is None or found.file.key is None:
                raise FileNotFound
            if found.offset != offset:
                raise OffsetMismatch(found.offset)
            if found.upload.length is None:
                # What a writer held for bytes of which nothing has come, and died, is held no more.
                unit.quotas.hold(file_id, offset, limit=self.policy.quota)
            known = self._length(unit, found, length)
            self._admit(unit, found, known, coming)
            tail = list(unit.manifests.tail(file_id, limit=TAIL))
            unit.commit()
        key = self.keyring.unwrap(found.file.key, purpose=FILE_KEY_PURPOSE, context=found.file.key_context)
        held = offset if known is None else known
        return Writing(file=found.file, key=key, writer=writer, length=known, offset=offset, held=held, tail=tail)

    def _length(self, unit: VaultUnit, found: Progress, length: int | None) -> int | None:
        if length is None or length == found.upload.length:
            return found.upload.length
        if found.upload.length is not None:
            raise LengthAnnounced
        if length < found.offset:
            raise InvalidValue("Upload-Length", "is less than what has come already")
        self.policy.admit_size(length)
        unit.uploads.fix_length(found.file.id, length)
        hold(unit, Upload(file=found.file, key=Secret(b""), held=found.offset), self.policy, need=length)
        return length

    def _admit(self, unit: VaultUnit, found: Progress, known: int | None, coming: int) -> None:
        size = found.offset + coming
        if known is not None:
            if size > known:
                raise FileTooLarge(known)
            return
        self.policy.admit_size(size)
        # Nothing is held yet of what is only announced by one request; it is refused if it cannot fit.
        quota, used = self.policy.quota, unit.quotas.used(found.file.owner)
        if coming and quota is not None and used + coming > quota:
            raise QuotaExceeded(quota=quota, used=used - found.offset)


@attrs.frozen(kw_only=True)
class AppendBytes:
    """
    Encrypt the next bytes of an upload, store them, and let the manifest know by a commit.

    `FileTooLarge` or `QuotaExceeded` if there are too many of them, `UploadTakenOver` or
    `UploadAborted` if somebody else has the upload now or has ended it; then nothing of these bytes
    stays. An error out of the commit itself leaves open whether they are there.

    Whoever wants to wait for the store less takes the steps by itself: a part may be `put` while
    those before it still are, as long as each is `place`d behind the one before it and `settle`d
    after it, and nothing else is done with the upload while one is settled or `record`ed.
    """

    begin: Begin[VaultUnit]
    clock: Clock
    entropy: Entropy
    cipher: ContentCipher
    blobs: BlobStore
    policy: VaultPolicy
    read: ReadFile
    part_size: int

    def __call__(self, writing: Writing, plaintext: Buffer) -> None:
        self._store(writing, self.place(writing, len(plaintext)), plaintext)
        self.record(writing)

    def admit(self, writing: Writing, received: int) -> None:
        """
        Raise `FileTooLarge` if the upload may not come to so many bytes.
        """
        self.policy.admit_size(received)
        if writing.length is not None and received > writing.length:
            raise FileTooLarge(writing.length)

    def store(self, writing: Writing, plaintext: Buffer) -> None:
        """
        Store bytes as a part that the manifest learns of by `record`, or that `discard` takes back.

        As long as it does not know of them the row is told once a minute at most that the upload
        moves, and what was not announced is held of the quota in growing steps, as by `StorePart`.
        """
        place = self.place(writing, len(plaintext))
        self._go_on(writing, place.stop)
        self._store(writing, place, plaintext)

    def _store(self, writing: Writing, place: Place, plaintext: Buffer) -> None:
        if len(plaintext):
            self.settle(writing, self.put(writing, place, plaintext))

    def _go_on(self, writing: Writing, size: int) -> None:
        """
        Keep an upload alive that comes to so many bytes before any of them is recorded, and hold them.
        """
        now, held = self.clock.now(), writing.held
        if size <= held and now - writing.file.touched_at < TOUCH_INTERVAL:
            return
        file = attrs.evolve(writing.file, touched_at=now)
        with self.begin() as unit:
            self._require_writer(unit, writing, file)
            if size > held:
                held = self._hold(unit, writing, need=size, ahead=step_ahead(size, self.policy))
            unit.commit()
        writing.file, writing.held = file, held

    def place(self, writing: Writing, size: int, *, after: Place | None = None) -> Place:
        """
        Admit `size` bytes more and say where they go: behind `after`, or behind what is settled.

        In the latter case the part may begin before them, with the bytes of short ones.
        """
        start = writing.received if after is None else after.stop
        self.admit(writing, start + size)
        if after is not None:
            return Place(number=after.number + 1, start=start, size=size)
        merged = [] if writing.pending else self._to_merge(writing.tail, size)
        if merged:
            return Place(number=merged[0].number, start=merged[0].start, size=start + size - merged[0].start)
        before = writing.pending or writing.tail
        return Place(number=before[-1].number + 1 if before else 0, start=start, size=size)

    def put(
        self, writing: Writing, place: Place, plaintext: Buffer, *, taken: Callable[[], object] | None = None
    ) -> Part:
        """
        Encrypt a part and store it; of the upload nothing is changed. `taken` is called as by `StorePart.put`.
        """
        gathered = self._gathered(writing, place.start, plaintext) if len(plaintext) < place.size else plaintext
        context = writing.file.part_context(place.number)
        encrypted = self.cipher.encrypt(writing.key, context=context, plaintext=gathered)
        part = Part(
            number=place.number,
            start=place.start,
            size=place.size,
            stored_size=encrypted.size,
            blob_key=writing.file.blob_key(place.number, self.entropy.draw(8)),
            header=encrypted.header,
        )
        self.blobs.put(part.blob_key, encrypted.pieces_then(taken), size=encrypted.size)
        return part

    def settle(self, writing: Writing, part: Part) -> None:
        """
        Count a stored part as pending; `UploadIncomplete`, removing it, if the one before it is not there.
        """
        if part.start > writing.received:
            self._delete([part])
            raise UploadIncomplete
        if not writing.pending:
            writing.merged = [short for short in writing.tail if short.number >= part.number]
        writing.pending.append(part)

    def record(self, writing: Writing) -> None:
        """
        Add what is pending to the manifest, in one commit with what it takes the place of.

        Whether that succeeds or not, nothing is pending any more.
        """
        if not writing.pending:
            return
        file = attrs.evolve(writing.file, touched_at=self.clock.now())
        received, parts, replaced = writing.received, writing.pending, writing.merged
        writing.pending, writing.merged = [], []
        try:
            with self.begin() as unit:
                self._within(unit, writing, file, parts, replaced)
                unit.commit()
        except (Conflict, QuotaExceeded):
            # Raised before the commit was asked for: no row knows of these parts, and none will.
            self._delete(parts)
            raise
        writing.tail = [*writing.tail[: len(writing.tail) - len(replaced)], *parts][-TAIL:]
        writing.file, writing.offset = file, received
        writing.held = received if writing.length is None else writing.length
        self._delete(replaced)

    def discard(self, writing: Writing) -> None:
        """
        Take back what is pending, and what is held for it; the upload is where it was.
        """
        parts, writing.pending, writing.merged = writing.pending, [], []
        self._delete(parts)
        if writing.length is None and writing.held > writing.offset:
            # What cannot be given back now is by who takes the upload over next, or with its file.
            with suppress(SftError), self.begin() as unit:
                self._require_writer(unit, writing, writing.file)
                self._hold(unit, writing, need=writing.offset)
                unit.commit()
                writing.held = writing.offset

    def _within(
        self, unit: VaultUnit, writing: Writing, file: File, parts: Sequence[Part], replaced: Sequence[Part]
    ) -> None:
        self._require_writer(unit, writing, file)
        if replaced:
            unit.manifests.cut(file.id, replaced[0].number)
        unit.manifests.append(file.id, parts)
        if writing.length is None:
            self._hold(unit, writing, need=parts[-1].span.stop)

    def _require_writer(self, unit: VaultUnit, writing: Writing, file: File) -> None:
        """
        Store when the file last moved; nobody takes its upload over, or ends it, until the unit has ended.
        """
        if not unit.files.replace(file, expected=FileState.RECEIVING):
            raise UploadAborted
        if not unit.uploads.is_writer(file.id, writing.writer):
            raise UploadTakenOver

    def _hold(self, unit: VaultUnit, writing: Writing, *, need: int, ahead: int = 0) -> int:
        upload = Upload(file=writing.file, key=writing.key, held=writing.held)
        return hold(unit, upload, self.policy, need=need, ahead=ahead)

    def _delete(self, parts: Sequence[Part]) -> None:
        for part in parts:
            # What cannot be removed now is noise that no row knows; it goes with its file.
            with suppress(SftError):
                self.blobs.delete(part.blob_key)

    def _to_merge(self, tail: Sequence[Part], size: int) -> list[Part]:
        merged: list[Part] = []
        for part in reversed(tail):
            if part.size > size or part.size + size > self.part_size:
                break
            merged.insert(0, part)
            size += part.size
        return merged

    def _gathered(self, writing: Writing, start: int, plaintext: Buffer) -> Buffer:
        """
        The bytes of short parts from `start` on, authenticated, with those that follow them.
        """
        gathered = bytearray()
        try:
            as_far = attrs.evolve(writing.file, size=writing.offset)
            for piece in self.read(as_far, ByteRange(start, writing.offset)):
                gathered += piece
        except FileNotFound:
            raise UploadAborted from None
        except Damaged:
            # Whoever has taken the upload over may have merged these parts into another one.
            with self.begin(read_only=True) as unit:
                upload = unit.uploads.get(writing.file.id)
            if upload is not None and upload.writer != writing.writer:
                raise UploadTakenOver from None
            raise
        gathered += plaintext
        return gathered
