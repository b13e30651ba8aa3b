"""
Receiving a file, step by step: an intent, parts, one commit.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from sft_core.errors import DatabaseUnavailable, QuotaExceeded, UploadAborted, UploadIncomplete
from sft_core.key_retirement import wrapped_and_stored
from sft_core.ports import Begin, Clock, Entropy, Ids, KeyRing
from sft_core.values import OCTET_STREAM, FileId, FileName, MediaType, Secret, UserId
from sft_core.vault.model import (
    FILE_KEY_BYTES,
    MANIFEST_PAGE,
    File,
    FileState,
    Part,
    ShareTerms,
    VaultPolicy,
)
from sft_core.vault.ports import BlobStore, Buffer, ContentCipher, Room, VaultUnit
from sft_core.vault.use_cases.quota import hold, step_ahead
from sft_core.vault.use_cases.upload_session import TOUCH_INTERVAL, Place, Upload


@attrs.frozen(kw_only=True)
class BeginUpload:
    """
    Store the intent to receive a file, draw its key, and hold its announced size of the owner's quota.

    The announced size may exceed the file by as many as `overhead` bytes, which a form has around
    it. `FileTypeNotAllowed` and, if what must come is over a limit, `FileTooLarge`,
    `QuotaExceeded` or `BlobStoreFull`; then nothing is stored. Most files are small: of one that is announced to fit
    into `part_size` nothing is stored yet, so that it costs one commit, which then asks its quota.

    So it is with one of which nothing is announced, if its caller `tells_end`: when its last byte
    has come, and before its part is stored, `Upload.expected` has to be set to the size. It is not
    known before either where it is not announced exactly.
    """

    begin: Begin[VaultUnit]
    ids: Ids
    clock: Clock
    entropy: Entropy
    keyring: KeyRing
    policy: VaultPolicy
    room: Room
    part_size: int

    def __call__(
        self,
        *,
        owner: UserId,
        name: FileName,
        media_type: MediaType = OCTET_STREAM,
        announced_size: int | None = None,
        overhead: int = 0,
        tells_end: bool = False,
    ) -> Upload:
        announced = announced_size or 0
        least = max(0, announced - overhead)
        self.policy.admit_name(name)
        self.policy.admit_size(least)
        key = Secret(self.entropy.draw(FILE_KEY_BYTES))
        file = File(
            id=FileId(self.ids.new()),
            owner=owner,
            name=name,
            original_name=name,
            media_type=media_type,
            created_at=self.clock.now(),
        )
        upload = Upload(file=file, key=key, intended=False, expected=None if overhead else announced_size)
        may_be_small = tells_end if announced_size is None else announced <= self.part_size
        if not may_be_small:
            intend(self.begin, upload, self.keyring, self.policy, need=least, ahead=announced, room=self.room)
        else:
            self._look_for_room(owner, least)
        return upload

    def _look_for_room(self, owner: UserId, size: int) -> None:
        """
        Refuse before it is received what will not fit anyway; the commit decides.
        """
        quota = self.policy.quota
        if quota is None:
            return
        with self.begin(read_only=True) as unit:
            used = unit.quotas.used(owner)
        if used + size > quota:
            raise QuotaExceeded(quota=quota, used=used)


def intend(
    begin: Begin[VaultUnit],
    upload: Upload,
    keyring: KeyRing,
    policy: VaultPolicy,
    *,
    need: int,
    ahead: int,
    room: Room | None = None,
) -> None:
    """
    Store the intent to receive a file, holding as many bytes of its owner's quota as `hold` says.

    What the quota lets in has to be admitted by the `room`, too, if one is given.
    """

    def stored() -> tuple[File, int]:
        file = upload.with_key(keyring)
        with begin() as unit:
            unit.files.add(file)
            held = hold(unit, upload, policy, need=need, ahead=ahead)
            if room is not None:
                room.admit_bytes(need)
            unit.commit()
        return file, held

    try:
        upload.file, upload.held = wrapped_and_stored(stored)
    except DatabaseUnavailable:
        # The row may be there: whoever gives the upload up has to look, unless parts are to be removed without it.
        upload.intended = not upload.parts
        raise
    upload.intended = True


@attrs.frozen(kw_only=True)
class StorePart:
    """
    Encrypt the next bytes of an upload as one part and store it.

    `FileTooLarge` or `QuotaExceeded`, storing nothing, if there are too many of them. Bytes that
    were not announced are held of the owner's quota as they come, and where there is plenty of it
    in growing steps, so that few parts have to ask.

    When it returns the part is durable; the manifest learns of parts in batches and at sealing.
    `UploadAborted` if somebody ended the upload meanwhile: what was stored is removed again. It is
    looked for after the part has been stored, because an abort that comes later lists that part
    and removes it. For the sweep of blobs that no row knows there remains what a process left that
    died between the two, and what the store kept of a call that it said had failed. Once a minute
    at most the row is told that the upload moves.

    Whoever wants to wait for the store less takes the three steps by itself: a part may be `put`
    while those before it still are, as long as each is `place`d behind the one before it, and
    `settle`d after it.
    """

    begin: Begin[VaultUnit]
    clock: Clock
    entropy: Entropy
    keyring: KeyRing
    cipher: ContentCipher
    blobs: BlobStore
    policy: VaultPolicy

    def __call__(self, upload: Upload, plaintext: Buffer) -> None:
        place = self.place(upload, len(plaintext))
        self.settle(upload, self.put(upload, place, plaintext))

    def place(self, upload: Upload, size: int, *, after: Place | None = None) -> Place:
        """
        Admit `size` bytes more and say where they go: behind `after`, or behind what is settled.
        """
        number, start = (upload.parts, upload.received) if after is None else (after.number + 1, after.stop)
        place = Place(number=number, start=start, size=size)
        self._admit(upload, place)
        return place

    def put(
        self, upload: Upload, place: Place, plaintext: Buffer, *, taken: Callable[[], object] | None = None
    ) -> Part:
        """
        Encrypt a part and store it; of the upload nothing is changed.

        `taken` is called once the plaintext may be written over: when all of it is encrypted, and
        the store has yet to make it durable.
        """
        encrypted = self.cipher.encrypt(
            upload.key,
            context=upload.file.part_context(place.number),
            plaintext=plaintext,
        )
        part = Part(
            number=place.number,
            start=place.start,
            size=place.size,
            stored_size=encrypted.size,
            blob_key=upload.file.blob_key(place.number, self.entropy.draw(8)),
            header=encrypted.header,
        )
        self.blobs.put(part.blob_key, encrypted.pieces_then(taken), size=encrypted.size)
        return part

    def settle(self, upload: Upload, part: Part) -> None:
        """
        Count a stored part as the upload's; `UploadIncomplete` if the one before it is not settled.
        """
        if not self._goes_on(upload):
            self.blobs.delete(part.blob_key)
            raise UploadAborted
        if part.number != upload.parts:
            raise UploadIncomplete
        upload.parts += 1
        upload.received += part.size
        upload.unrecorded.append(part)
        if len(upload.unrecorded) >= MANIFEST_PAGE:
            self._record(upload)

    def _admit(self, upload: Upload, place: Place) -> None:
        size = place.stop
        self.policy.admit_size(size)
        # Of one that goes on no part is left without a row: its client may take as long as it likes for the next.
        is_last = upload.expected is not None and size >= upload.expected
        if size <= upload.held or (not upload.intended and not place.number and is_last):
            return
        ahead = step_ahead(size, self.policy)
        if not upload.intended:
            # Its size was not announced, or to be smaller; or the part is a short one, for want of memory.
            intend(self.begin, upload, self.keyring, self.policy, need=size, ahead=ahead)
            return
        with self.begin() as unit:
            held = hold(unit, upload, self.policy, need=size, ahead=ahead)
            unit.commit()
        upload.held = held

    def _goes_on(self, upload: Upload) -> bool:
        if not upload.intended:
            return True
        now = self.clock.now()
        if now - upload.file.touched_at >= TOUCH_INTERVAL:
            moved = attrs.evolve(upload.file, touched_at=now)
            with self.begin() as unit:
                goes_on = unit.files.replace(moved, expected=FileState.RECEIVING)
                unit.commit()
            upload.file = moved
            return goes_on
        with self.begin(read_only=True) as unit:
            file = unit.files.get(upload.file.id)
        return file is not None and file.state is FileState.RECEIVING

    def _record(self, upload: Upload) -> None:
        with self.begin() as unit:
            # It changes nothing, and holds an abort off until the manifest is longer.
            if not unit.files.replace(upload.file, expected=FileState.RECEIVING):
                raise UploadAborted
            unit.manifests.append(upload.file.id, upload.unrecorded)
            unit.commit()
        upload.unrecorded.clear()


@attrs.frozen(kw_only=True)
class SealUpload:
    """
    Turn an upload whose parts are all stored into a file, in one commit, holding its exact size.

    `UploadAborted` if somebody else won the race for its state. `QuotaExceeded` if a small file does
    not fit: then it is for the caller to abort, as neither ever comes out of a commit.
    """

    begin: Begin[VaultUnit]
    store_part: StorePart

    def __call__(self, upload: Upload, *, terms: ShareTerms | None = None) -> File:
        self.complete(upload)
        return wrapped_and_stored(lambda: self._sealed(upload, terms or ShareTerms()))

    def _sealed(self, upload: Upload, terms: ShareTerms) -> File:
        with self.begin() as unit:
            file = self.within(unit, upload, terms=terms)
            unit.commit()
        return file

    def complete(self, upload: Upload) -> None:
        """
        Give a file without a byte its one, empty part, so that it too can be authenticated.
        """
        if upload.parts == 0:
            self.store_part(upload, b"")

    def within(self, unit: VaultUnit, upload: Upload, *, terms: ShareTerms) -> File:
        """
        Seal inside a unit of work that somebody else commits; `KeyRetired` as `wrapped_and_stored` says.
        """
        if not upload.intended:
            # No row of it yet, so nobody to race with, and every part is at hand.
            sealed = upload.with_key(self.store_part.keyring).sealed(size=upload.received, terms=terms)
            unit.files.add(sealed)
            unit.manifests.append(sealed.id, upload.unrecorded)
            hold(unit, upload, self.store_part.policy, need=sealed.size)
            return sealed
        sealed = upload.file.sealed(size=upload.received, terms=terms)
        # The state first: whoever lost the race for it has no manifest to append to.
        if not unit.files.replace(sealed, expected=FileState.RECEIVING):
            raise UploadAborted
        unit.manifests.append(sealed.id, upload.unrecorded)
        if unit.manifests.totals(sealed.id) != (upload.parts, upload.received):
            raise UploadIncomplete
        hold(unit, upload, self.store_part.policy, need=sealed.size)
        return sealed
