"""
The only code that writes parts, for every kind of upload.

A slot is allocated for the next bytes, and quota reserved for it; its part is put into the blob store and accepted,
which makes it pending. Pending parts are recorded in the manifest, or discarded and become orphans.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import attrs

from sft_core.errors import (
    Conflict,
    Damaged,
    FileNotFound,
    FileTooLarge,
    QuotaExceeded,
    SftError,
    UploadAborted,
    UploadIncomplete,
    UploadTakenOver,
)
from sft_core.ports import Clock, Entropy, KeyRing, UnitOfWorkFactory
from sft_core.values import ByteRange
from sft_core.vault.model import File, FileState, Part, VaultPolicy
from sft_core.vault.ports import BlobStore, Buffer, ContentCipher, VaultUnit
from sft_core.vault.use_cases.quota import next_reservation, reserve_quota
from sft_core.vault.use_cases.read import ReadFile
from sft_core.vault.use_cases.upload import persist_intent
from sft_core.vault.use_cases.upload_session import TOUCH_INTERVAL, PartSlot, UploadSession


@attrs.frozen(kw_only=True)
class StorePart:
    """
    Encrypt the next bytes of an upload and store them as one part.

    `UploadSession` is what differs between uploads. When `__call__` returns, the part is durable. Parts of a resumable
    upload are then in the manifest as well, unless the session is provisional: a request whose checksum is not verified
    yet. Parts of any other upload are recorded in batches and when the upload is sealed.

    A caller that does not want to wait for the store performs the steps itself: `allocate` and `reserve` a slot, `put`
    the part, `accept` it, and `delete_orphans` after each step that may have left some. While parts are `put`, later
    ones may be allocated, reserved and put as well. Parts are allocated in order, and accepted in the same order, one
    at a time. No `accept` may overlap a `record` or a `discard`.

    `allocate`, `is_reserved` and `require_size` do no I/O. `reserve`, `accept`, `record` and `discard` use only the
    database. `delete_orphans` and `put` use only the blob store, except that a `put` that merges parts reads the
    manifest.

    Raises:
        FileTooLarge: the policy, or the announced length of a resumable upload, does not allow so many bytes.
        QuotaExceeded: the bytes do not fit into the owner's quota.
        UploadAborted: the upload was aborted, sealed or deleted meanwhile.
        UploadTakenOver: a later writer has acquired the upload.
        UploadIncomplete: the part before this one is not stored, or the outcome of its commit is unknown.

    These errors are raised before a commit: the part is not recorded, and its blob is deleted or left as an orphan.
    After any other error it is unknown whether the part is stored, and a part that a commit may have recorded is never
    deleted. The sweep deletes the orphans of a process that died between storing a part and recording it, and blobs
    that the store wrote although it reported a failure.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    clock: Clock
    entropy: Entropy
    keyring: KeyRing
    cipher: ContentCipher
    blobs: BlobStore
    policy: VaultPolicy
    read: ReadFile

    def __call__(self, session: UploadSession, plaintext: Buffer) -> None:
        slot = self.allocate(session, len(plaintext))
        if session.is_resumable and not len(plaintext):
            return
        self.reserve(session, slot)
        part = self.put(session, slot, plaintext)
        try:
            self.accept(session, part)
        finally:
            self.delete_orphans(session)

    def complete(self, session: UploadSession) -> None:
        """
        Store the single, empty part by which an empty file can be authenticated.
        """
        if session.parts == 0:
            self(session, b"")

    def require_size(self, session: UploadSession, size: int) -> None:
        self.policy.check_size(size)
        length = session.expected_size
        if session.is_resumable and length is not None and size > length:
            raise FileTooLarge(length)

    def allocate(self, session: UploadSession, size: int, *, after: PartSlot | None = None) -> PartSlot:
        """
        Return the slot for `size` more bytes, after a slot or the accepted parts.

        Without a slot, it may begin at earlier, short parts, which are merged with the new bytes.
        """
        start = session.received if after is None else after.stop
        self.require_size(session, start + size)
        if after is not None:
            return PartSlot(number=after.number + 1, start=start, size=size)
        merged = session.mergeable(size)
        if merged:
            return PartSlot(number=merged[0].number, start=merged[0].start, size=start + size - merged[0].start)
        return PartSlot(number=session.parts, start=start, size=size)

    def is_reserved(self, session: UploadSession, slot: PartSlot) -> bool:
        if not session.is_persisted:
            # No part that another one follows is stored without a row: the client may take any time for the next one.
            is_last = session.expected_size is not None and slot.stop >= session.expected_size
            return not slot.number and (is_last or not slot.stop)
        if session.is_resumable and not session.is_provisional:
            # It reserves in the commit that records its parts.
            return True
        return slot.stop <= session.reserved_bytes and not (session.is_provisional and self._is_touch_due(session))

    def reserve(self, session: UploadSession, slot: PartSlot) -> None:
        """
        Reserve quota for bytes that were not announced; store the intent row if missing.

        Far below the quota, reservations grow in steps, so that few parts need a transaction. `touched_at` is updated
        as well, at most once a minute; for a provisional upload also if there is nothing to reserve.
        """
        if self.is_reserved(session, slot):
            return
        ahead = next_reservation(slot.stop, self.policy)
        if not session.is_persisted:
            persist_intent(self.begin, session, self.keyring, self.policy, need=slot.stop, ahead=ahead)
            return
        file, reserved = self._touched(session), session.reserved_bytes
        with self.begin() as unit:
            self._require_writer(unit, session, file)
            if slot.stop > reserved:
                reserved = self._reserve(unit, session, need=slot.stop, ahead=ahead)
            unit.commit()
        session.file, session.reserved_bytes = file, reserved

    def put(
        self,
        session: UploadSession,
        slot: PartSlot,
        plaintext: Buffer,
        *,
        on_encrypted: Callable[[], object] | None = None,
    ) -> Part:
        """
        Encrypt a part and store it; the session is not changed.

        `on_encrypted` is called once the plaintext's buffer may be reused: it is encrypted, and not yet durable.
        """
        merged = self._merged(session, slot.start, plaintext) if len(plaintext) < slot.size else plaintext
        encrypted = self.cipher.encrypt(session.key, context=session.file.part_context(slot.number), plaintext=merged)
        part = Part(
            number=slot.number,
            start=slot.start,
            size=slot.size,
            stored_size=encrypted.size,
            blob_key=session.file.blob_key(slot.number, self.entropy.random_bytes(8)),
            header=encrypted.header,
        )
        self.blobs.put(part.blob_key, encrypted.pieces_then(on_encrypted), size=encrypted.size)
        return part

    def accept(self, session: UploadSession, part: Part | None, *, is_followed: bool = False) -> None:
        """
        Count a stored part as pending, and record what is pending if that is due.

        None means that the part could not be put; `is_followed`, that another one is being put after it. A refused part
        becomes an orphan.
        """
        if part is not None:
            # An earlier number is that of short parts that this one merges: only a resumable upload has them.
            if part.number < session.parts and (session.pending or not session.is_resumable):
                # No orphan: it may be the part that was accepted under this number.
                raise UploadIncomplete
            try:
                self._require_acceptable(session, part)
            except (UploadAborted, UploadIncomplete):
                session.orphans.append(part)
                raise
            session.add_pending(part)
        is_flushed = session.is_resumable and (part is None or not is_followed)
        if not session.is_provisional and (is_flushed or len(session.pending) >= session.batch_size):
            self.record(session)

    def record(self, session: UploadSession) -> None:
        """
        Add pending parts to the manifest and remove those they replace, in one commit.

        Whether that succeeds or not, no part is pending afterwards.
        """
        if not session.pending:
            return
        file = attrs.evolve(session.file, touched_at=self.clock.now()) if session.is_resumable else session.file
        parts, replaced = session.clear_pending()
        session.is_in_doubt = True
        with self.begin() as unit:
            try:
                self._require_writer(unit, session, file)
                if replaced:
                    unit.manifests.truncate(file.id, replaced[0].number)
                unit.manifests.append(file.id, parts)
                if session.is_resumable and session.expected_size is None:
                    self._reserve(unit, session, need=parts[-1].span.stop)
            except (Conflict, QuotaExceeded):
                # Raised before the commit: no manifest refers to these parts, and none will. Only a resumable upload
                # continues: its client sends the bytes again.
                session.orphans += parts
                session.is_in_doubt = not session.is_resumable
                raise
            unit.commit()
        session.is_in_doubt = False
        session.file = file
        session.advance(parts, replaced)

    def discard(self, session: UploadSession) -> None:
        """
        Make pending parts orphans, and release their reservation: return to the recorded offset.
        """
        session.orphans += session.clear_pending()[0]
        if session.expected_size is None and session.reserved_bytes > session.offset:
            # What cannot be released now is released by the next writer, or with the file.
            with suppress(SftError), self.begin() as unit:
                self._require_writer(unit, session, session.file)
                self._reserve(unit, session, need=session.offset)
                unit.commit()
                session.reserved_bytes = session.offset

    def delete_orphans(self, session: UploadSession) -> None:
        """
        Try once to delete the blob of each orphan; the sweep deletes the rest.
        """
        while session.orphans:
            with suppress(SftError):
                self.blobs.delete(session.orphans.pop().blob_key)

    def _require_acceptable(self, session: UploadSession, part: Part) -> None:
        if session.is_in_doubt or part.number > session.parts or part.start > session.received:
            raise UploadIncomplete
        if session.is_persisted and not session.is_resumable:
            # Only now: an abort that comes later finds the part in the store and deletes it.
            self._require_receiving(session)

    def _require_receiving(self, session: UploadSession) -> None:
        """
        Raise `UploadAborted` unless the upload is receiving; update `touched_at` at most once a minute.
        """
        if not self._is_touch_due(session):
            with self.begin(read_only=True) as unit:
                stored = unit.files.get(session.file.id)
            if stored is None or stored.state is not FileState.RECEIVING:
                raise UploadAborted
            return
        file = self._touched(session)
        with self.begin() as unit:
            self._require_writer(unit, session, file)
            unit.commit()
        session.file = file

    def _require_writer(self, unit: VaultUnit, session: UploadSession, file: File) -> None:
        """
        Store `touched_at`, and exclude every other writer and abort until the unit ends.
        """
        if not unit.files.replace(file, expected=FileState.RECEIVING):
            raise UploadAborted
        if session.fencing_token is not None and not unit.uploads.is_current(file.id, session.fencing_token):
            raise UploadTakenOver

    def _reserve(self, unit: VaultUnit, session: UploadSession, *, need: int, ahead: int = 0) -> int:
        return reserve_quota(unit, session.file, self.policy, need=need, ahead=ahead, reserved=session.reserved_bytes)

    def _is_touch_due(self, session: UploadSession) -> bool:
        return self.clock.now() - session.file.touched_at >= TOUCH_INTERVAL

    def _touched(self, session: UploadSession) -> File:
        now = self.clock.now()
        return attrs.evolve(session.file, touched_at=now) if self._is_touch_due(session) else session.file

    def _merged(self, session: UploadSession, start: int, plaintext: Buffer) -> Buffer:
        """
        The bytes of short parts from `start` on, authenticated, followed by the new ones.
        """
        merged = bytearray()
        try:
            recorded = attrs.evolve(session.file, size=session.offset)
            for piece in self.read(recorded, ByteRange(start, session.offset)):
                merged += piece
        except FileNotFound:
            raise UploadAborted from None
        except Damaged:
            # A later writer may have merged these parts into another one.
            with self.begin(read_only=True) as unit:
                upload = unit.uploads.get(session.file.id)
            if upload is not None and upload.fencing_token != session.fencing_token:
                raise UploadTakenOver from None
            raise
        merged += plaintext
        return merged
