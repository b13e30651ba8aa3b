"""
Check one file: its key, its manifest, and the blobs that the manifest names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import attrs

from sft_core.errors import AuthenticationFailed, BlobMissing, BlobSizeMismatch, UnknownKey, UnwrapFailed
from sft_core.maintenance.findings import Damage, Finding
from sft_core.maintenance.paging import PAGE, paged
from sft_core.maintenance.ports import MaintenanceUnit
from sft_core.ports import KeyRing, UnitOfWorkFactory
from sft_core.values import ByteRange, Secret
from sft_core.vault.model import FILE_KEY_PURPOSE, Encryption, File, FileState, Part, blob_prefix
from sft_core.vault.ports import ContentCipher, IdentifiedBlobStore

PartFilter = Callable[[Part], bool]


@attrs.frozen(kw_only=True)
class CheckFile:
    """
    Check a sealed file, or an upload's recorded parts, and yield the problems.

    The existence and length of each part come from a listing of the store. Only the parts that `part_filter` selects
    are read and authenticated, completely. The manifest is kept in memory meanwhile: about one kilobyte a part.
    """

    begin: UnitOfWorkFactory[MaintenanceUnit]
    keyring: KeyRing
    cipher: ContentCipher
    blobs: IdentifiedBlobStore

    def __call__(self, file: File, *, part_filter: PartFilter | None = None) -> Iterator[Finding]:
        parts = list(paged(self.begin, partial(_page, file)))
        yield from _manifest_findings(file, parts)
        key, finding = self._key(file, parts)
        if finding is not None:
            yield finding
        mismatched = {part.number for part in parts if key is not None and not self._header_matches(file, key, part)}
        sizes = {blob.key: blob.size for blob in self.blobs.list(blob_prefix(file.id))} if parts else {}
        for part in parts:
            subject = f"file {file.id} part {part.number}"
            if part.number in mismatched:
                detail = "the manifest's header is not under this file's key"
                yield Finding(Damage.ALTERED_MANIFEST, subject, detail)
            is_readable = key is not None and part.number not in mismatched and part.blob_key in sizes
            is_read = is_readable and part_filter is not None and part_filter(part)
            damage = self._part_damage(file, part, sizes, key if is_read else None)
            if damage is not None:
                yield Finding(damage, subject, f"{_SENTENCES[damage]} (blob {part.blob_key})")

    def _key(self, file: File, parts: Sequence[Part]) -> tuple[Secret | None, Finding | None]:
        """
        Return the file's key or a finding; neither if only the owner has the key.
        """
        subject = f"file {file.id}"
        if file.key is None:
            wrong = None if file.encryption is Encryption.CLIENT else "the file has no key"
            return None, Finding(Damage.WRONG_FILE_KEY, subject, wrong) if wrong else None
        try:
            key = self.keyring.unwrap(file.key, purpose=FILE_KEY_PURPOSE, context=file.key_context)
        except UnknownKey:
            detail = f"the ring has no key {file.key.key_id}, which wrapped it"
            return None, Finding(Damage.UNKNOWN_KEY_ID, subject, detail)
        except UnwrapFailed:
            return None, Finding(Damage.WRONG_FILE_KEY, subject, "its wrapped key does not unwrap")
        if parts and not any(self._header_matches(file, key, part) for part in parts):
            return None, Finding(Damage.WRONG_FILE_KEY, subject, "none of its parts was encrypted with its key")
        return key, None

    def _header_matches(self, file: File, key: Secret, part: Part, header: bytes | None = None) -> bool:
        context = file.part_context(part.number)
        try:
            self.cipher.reader(key, context=context, header=part.header if header is None else header, size=part.size)
        except AuthenticationFailed:
            return False
        return True

    def _part_damage(self, file: File, part: Part, sizes: Mapping[str, int], key: Secret | None) -> Damage | None:
        size = sizes.get(part.blob_key)
        if size is None:
            return Damage.MISSING_PART
        resized = Damage.SHORT_PART if size < part.stored_size else Damage.LONG_PART
        try:
            damage = self._content_damage(file, part, size, key) if key is not None else None
        except BlobMissing:
            return Damage.MISSING_PART
        except BlobSizeMismatch:
            return resized
        return damage if size == part.stored_size or damage is not None else resized

    def _content_damage(self, file: File, part: Part, size: int, key: Secret) -> Damage | None:
        """
        Distinguish a replaced blob, of any length, from a modified one.
        """
        header = bytearray(min(len(part.header), size))
        self.blobs.read_into(part.blob_key, 0, memoryview(header), size=size)
        if header != part.header[: len(header)]:
            return self._mismatched_header(file, part, bytes(header), key)
        if size != part.stored_size:
            return None
        return None if self._is_authentic(file, part, key) else Damage.ALTERED_PART

    def _mismatched_header(self, file: File, part: Part, header: bytes, key: Secret) -> Damage:
        if self._header_matches(file, key, part, header):
            return Damage.OLDER_PART
        with self.begin(read_only=True) as unit:
            belongs_elsewhere = header in unit.reclaimable.parts_by_header([header])
        # A damaged header of this part differs in few bytes, perhaps in one bit; another header shares hardly any.
        same = sum(mine == stored for mine, stored in zip(part.header, header, strict=False))
        return Damage.FOREIGN_PART if belongs_elsewhere or 2 * same < len(header) else Damage.ALTERED_PART

    def _is_authentic(self, file: File, part: Part, key: Secret) -> bool:
        reader = self.cipher.reader(key, context=file.part_context(part.number), header=part.header, size=part.size)
        whole = ByteRange(0, part.size)
        # An empty part has no plaintext window, but its message is still authenticated.
        for window in reader.windows(whole) if part.size else [ByteRange(0, part.stored_size)]:
            ciphertext = memoryview(bytearray(len(window)))
            self.blobs.read_into(part.blob_key, window.start, ciphertext, size=part.stored_size)
            try:
                reader.decrypt(window, ciphertext, whole)
            except AuthenticationFailed:
                return False
        return True


_SENTENCES = {
    Damage.MISSING_PART: "the store does not contain it",
    Damage.SHORT_PART: "it is shorter than the manifest says",
    Damage.LONG_PART: "it is longer than the manifest says",
    Damage.ALTERED_PART: "its bytes were modified after it was stored",
    Damage.FOREIGN_PART: "the blob contains another part",
    Damage.OLDER_PART: "the blob contains another version of this part",
}


def _manifest_findings(file: File, parts: Sequence[Part]) -> Iterator[Finding]:
    if file.state is not FileState.SEALED:
        return
    if not parts:
        yield Finding(Damage.DANGLING_ROW, f"file {file.id}", "its manifest contains no part")
        return
    position = 0
    for number, part in enumerate(parts):
        if (part.number, part.start) != (number, position):
            break
        position += part.size
    else:
        if position == file.size:
            return
    detail = f"its manifest ends or has a gap at byte {position} of {file.size}"
    yield Finding(Damage.INCOMPLETE_MANIFEST, f"file {file.id}", detail)


def _page(file: File, unit: MaintenanceUnit, last: Part | None) -> Sequence[Part]:
    return unit.inventory.parts(file.id, after=last.number if last is not None else -1, limit=PAGE)
