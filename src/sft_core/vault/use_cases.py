"""
What people can do with files, one frozen callable each.

Receiving is cut into steps (`BeginUpload`, `StorePart`, `SealUpload`, `AbortUpload`), so that an
edge that waits for a slow client holds no thread and no connection between them; `StoreFile` is
the four in one for whoever has the bytes at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from sft_core.errors import Damaged, FileNotFound, QuotaExceeded, SftError, UploadAborted, UploadIncomplete
from sft_core.ports import Begin, Clock, Entropy, Ids, KeyRing
from sft_core.values import OCTET_STREAM, ByteRange, FileId, FileName, MediaType, Page, Secret, UserId
from sft_core.vault.model import FILE_KEY_BYTES, FILE_KEY_PURPOSE, File, FileState, Part, ShareTerms, VaultPolicy
from sft_core.vault.ports import BlobStore, Buffer, ContentCipher, VaultUnit

MANIFEST_PAGE: Final = 64
"""How many parts are read from or added to a manifest at once: memory stays flat at any file size."""

HELD_AHEAD: Final = 64 << 20
"""How many bytes an upload of unknown size holds of its owner's quota, at most, before they come."""

NEAR_THE_QUOTA: Final = 1 << 30
"""How many bytes below a quota nothing is held any more that may not come: it could keep a file out that fits."""


@attrs.define(kw_only=True)
class Upload:
    """
    A file on its way in: the intent, its key, and how far it has come. Used by one task at a time.
    """

    file: File
    key: Secret
    held: int = 0
    received: int = 0
    parts: int = 0
    unrecorded: list[Part] = attrs.field(factory=list, repr=False)


def hold(unit: VaultUnit, upload: Upload, policy: VaultPolicy, *, need: int, ahead: int = 0) -> int:
    """
    Hold `need` bytes of the owner's quota for an upload, or `ahead` if that is more and there is plenty.

    Returns how many are held once the unit is committed. `QuotaExceeded` if not even `need` fit.
    """
    file, quota = upload.file, policy.quota
    plenty = None if quota is None else quota - NEAR_THE_QUOTA
    if ahead > need and unit.quotas.hold(file.id, ahead, limit=plenty):
        return ahead
    if not unit.quotas.hold(file.id, need, limit=quota):
        assert quota is not None  # noqa: S101 (without a limit a file may always hold more)
        raise QuotaExceeded(quota=quota, used=unit.quotas.used(file.owner) - upload.held)
    return need


@attrs.frozen(kw_only=True)
class BeginUpload:
    """
    Store the intent to receive a file, draw its key, and hold its announced size of the owner's quota.

    The announced size may exceed the file by as many as `overhead` bytes, which a form has around
    it. `FileTypeNotAllowed` and, if what must come is over a limit, `FileTooLarge` or
    `QuotaExceeded`; then nothing is stored.
    """

    begin: Begin[VaultUnit]
    ids: Ids
    clock: Clock
    entropy: Entropy
    keyring: KeyRing
    policy: VaultPolicy

    def __call__(
        self,
        *,
        owner: UserId,
        name: FileName,
        media_type: MediaType = OCTET_STREAM,
        announced_size: int | None = None,
        overhead: int = 0,
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
        wrapped = self.keyring.wrap(key, purpose=FILE_KEY_PURPOSE, context=file.key_context)
        upload = Upload(file=attrs.evolve(file, key=wrapped), key=key)
        with self.begin() as unit:
            unit.files.add(upload.file)
            upload.held = hold(unit, upload, self.policy, need=least, ahead=announced)
            unit.commit()
        return upload


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
    died between the two, and what the store kept of a call that it said had failed.
    """

    begin: Begin[VaultUnit]
    entropy: Entropy
    cipher: ContentCipher
    blobs: BlobStore
    policy: VaultPolicy

    def __call__(self, upload: Upload, plaintext: Buffer) -> None:
        size = len(plaintext)
        self._admit(upload, upload.received + size)
        number = upload.parts
        encrypted = self.cipher.encrypt(
            upload.key,
            context=upload.file.part_context(number),
            plaintext=plaintext,
        )
        part = Part(
            number=number,
            start=upload.received,
            size=size,
            stored_size=encrypted.size,
            blob_key=upload.file.blob_key(number, self.entropy.draw(8)),
            header=encrypted.header,
        )
        self.blobs.put(part.blob_key, encrypted.pieces, size=encrypted.size)
        if not self._is_receiving(upload):
            self.blobs.delete(part.blob_key)
            raise UploadAborted
        upload.parts += 1
        upload.received += size
        upload.unrecorded.append(part)
        if len(upload.unrecorded) >= MANIFEST_PAGE:
            self._record(upload)

    def _admit(self, upload: Upload, size: int) -> None:
        self.policy.admit_size(size)
        if size <= upload.held:
            return
        ahead = min(2 * size, size + HELD_AHEAD, self.policy.max_file_size)
        with self.begin() as unit:
            held = hold(unit, upload, self.policy, need=size, ahead=ahead)
            unit.commit()
        upload.held = held

    def _is_receiving(self, upload: Upload) -> bool:
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

    `UploadAborted` if somebody else won the race for its state; then nothing was stored.
    """

    begin: Begin[VaultUnit]
    store_part: StorePart

    def __call__(self, upload: Upload, *, terms: ShareTerms | None = None) -> File:
        self.complete(upload)
        with self.begin() as unit:
            file = self.within(unit, upload, terms=terms or ShareTerms())
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
        Seal inside a unit of work that somebody else commits.
        """
        sealed = upload.file.sealed(size=upload.received, terms=terms)
        # The state first: whoever lost the race for it has no manifest to append to.
        if not unit.files.replace(sealed, expected=FileState.RECEIVING):
            raise UploadAborted
        unit.manifests.append(sealed.id, upload.unrecorded)
        if unit.manifests.totals(sealed.id) != (upload.parts, upload.received):
            raise UploadIncomplete
        hold(unit, upload, self.store_part.policy, need=sealed.size)
        return sealed


@attrs.frozen(kw_only=True)
class AbortUpload:
    """
    Give an upload up and leave nothing behind; one that was sealed meanwhile stays whole.
    """

    begin: Begin[VaultUnit]
    blobs: BlobStore

    def __call__(self, upload: Upload) -> None:
        with self.begin() as unit:
            if not unit.files.replace(upload.file.aborted(), expected=FileState.RECEIVING):
                return
            unit.commit()
        purge(self.begin, self.blobs, upload.file)


def purge(begin: Begin[VaultUnit], blobs: BlobStore, file: File) -> None:
    """
    Delete the blobs of a file whose end has been won, then forget its rows; safe to repeat.

    What the file holds of its owner's quota is given back when its bytes are gone, and not before.
    """
    for blob in list(blobs.list(file.blob_prefix)):
        blobs.delete(blob.key)
    with begin() as unit:
        unit.quotas.release(file.id)
        unit.files.remove(file.id)
        unit.commit()


@attrs.frozen(kw_only=True)
class StoreFile:
    """
    Store a file from bytes at hand, in parts of `part_size` bytes; on any error nothing is left.

    If what was stored cannot be removed just now, the first error is told all the same: what is
    left is noise, and the next sweep goes on.
    """

    begin_upload: BeginUpload
    store_part: StorePart
    seal: SealUpload
    abort: AbortUpload
    part_size: int

    def __call__(
        self,
        *,
        owner: UserId,
        name: FileName,
        content: Iterable[Buffer],
        media_type: MediaType = OCTET_STREAM,
        announced_size: int | None = None,
    ) -> File:
        upload = self.begin_upload(owner=owner, name=name, media_type=media_type, announced_size=announced_size)
        try:
            for part in parts_of(content, self.part_size):
                self.store_part(upload, part)
            self.seal.complete(upload)
        except BaseException as error:
            try:
                self.abort(upload)
            except SftError as failure:
                error.add_note(f"what was stored of it could not be removed now: {failure.code}")
            raise
        # Not under the handler: an exception out of a commit leaves the outcome unknown, and a
        # file that may have been sealed is never taken apart because of it.
        return self.seal(upload)


def parts_of(content: Iterable[Buffer], part_size: int) -> Iterator[memoryview]:
    """
    Regroup buffers of any sizes into parts of `part_size` bytes, the last one shorter.

    The parts share one buffer: each is valid until the next is asked for.
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


@attrs.frozen(kw_only=True)
class FindFile:
    """
    One of the owner's files; `FileNotFound` for anything else, another's files included.
    """

    begin: Begin[VaultUnit]

    def __call__(self, *, owner: UserId, file_id: FileId) -> File:
        with self.begin(read_only=True) as unit:
            return self.within(unit, owner=owner, file_id=file_id)

    def within(self, unit: VaultUnit, *, owner: UserId, file_id: FileId) -> File:
        """
        Find it inside a unit of work that is open already.
        """
        file = unit.files.get(file_id)
        if file is None or file.owner != owner or file.state is not FileState.SEALED:
            raise FileNotFound
        return file


@attrs.frozen(kw_only=True)
class ListFiles:
    """
    A page of the owner's files, newest first.
    """

    begin: Begin[VaultUnit]

    def __call__(self, *, owner: UserId, page: Page) -> tuple[File, ...]:
        with self.begin(read_only=True) as unit:
            return tuple(unit.files.list_sealed(owner, page))


@attrs.frozen(kw_only=True)
class ReadFile:
    """
    Read a range of a sealed file as buffers of about 1 MiB, each authenticated before it is given.

    Who may read it has been decided before. Between two buffers nothing is held: no thread, no
    connection, no open file. It ends after exactly the bytes asked for, or it raises.
    """

    begin: Begin[VaultUnit]
    keyring: KeyRing
    cipher: ContentCipher
    blobs: BlobStore

    def __call__(self, file: File, span: ByteRange | None = None) -> Iterator[Buffer]:
        wanted = file.whole.intersection(span) if span is not None else file.whole
        if file.key is None:
            raise FileNotFound
        key = self.keyring.unwrap(file.key, purpose=FILE_KEY_PURPOSE, context=file.key_context)
        return self._read(file, key, wanted)

    def _read(self, file: File, key: Secret, wanted: ByteRange) -> Iterator[Buffer]:
        buffer = bytearray()
        for part in self._parts(file, wanted):
            span = part.span.intersection(wanted).shifted(-part.start)
            reader = self.cipher.reader(
                key,
                context=file.part_context(part.number),
                header=part.header,
                size=part.size,
            )
            for window in reader.windows(span):
                if len(buffer) < len(window):
                    buffer = bytearray(len(window))
                ciphertext = memoryview(buffer)[: len(window)]
                self.blobs.read_into(part.blob_key, window.start, ciphertext, size=part.stored_size)
                yield reader.decrypt(window, ciphertext, span)

    def _parts(self, file: File, wanted: ByteRange) -> Iterator[Part]:
        position = wanted.start
        while position < wanted.stop:
            with self.begin(read_only=True) as unit:
                parts = unit.manifests.covering(file.id, ByteRange(position, wanted.stop), limit=MANIFEST_PAGE)
            if not parts:
                # Deleted under way, or a row is lost: either way the rest cannot be delivered.
                raise Damaged(f"file {file.id}: no part holds byte {position}")
            for part in parts:
                if not part.start <= position < part.span.stop:
                    raise Damaged(f"file {file.id}: no part holds byte {position}")
                yield part
                position = part.span.stop


@attrs.frozen(kw_only=True)
class DeleteFile:
    """
    Destroy a file: its key first, then its parts, then its rows.

    Once the key is gone the file is gone: if the parts cannot be removed just now they are noise,
    the row stays `DELETING` and the next sweep goes on.
    """

    begin: Begin[VaultUnit]
    find: FindFile
    blobs: BlobStore

    def __call__(self, *, owner: UserId, file_id: FileId) -> None:
        with self.begin() as unit:
            file = self.find.within(unit, owner=owner, file_id=file_id)
            if not unit.files.replace(file.condemned(), expected=FileState.SEALED):
                raise FileNotFound
            unit.commit()
        try:
            purge(self.begin, self.blobs, file)
        except SftError:
            return
