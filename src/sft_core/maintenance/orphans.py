"""
Find blobs without a row, and distinguish orphans from possible only copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice

import attrs

from sft_core.errors import BlobMissing, BlobSizeMismatch, RowDamaged, SftError
from sft_core.maintenance.ports import MaintenanceUnit
from sft_core.maintenance.store_identity import require_same_store
from sft_core.ports import UnitOfWorkFactory
from sft_core.values import FileId
from sft_core.vault.model import PART_HEADER_BYTES, FileState, file_id_of_blob
from sft_core.vault.ports import BlobInfo, BlobStore, IdentifiedBlobStore


@attrs.frozen
class UnreferencedBlob:
    """
    A blob that no manifest names: an orphan, unless it is `part_of` a file.

    An orphan may be deleted. A part's header is unique: a blob with the header of a recorded part may be its only copy,
    even under a wrong key and whichever blob the store has under the right one.
    """

    blob: BlobInfo
    part_of: tuple[FileId, int] | None = None


def find_unreferenced_blobs(
    begin: UnitOfWorkFactory[MaintenanceUnit], blobs: IdentifiedBlobStore, *, before: datetime, batch_size: int
) -> Iterator[UnreferencedBlob]:
    """
    Yield the blobs without a row that were stored before a moment.

    Blobs are looked up `batch_size` at a time. Nothing is yielded unless the oldest account is as old as `before`: a
    young or empty database beside a full store is more likely the wrong database. Blobs under keys that this service
    never makes belong to another application and are skipped. A blob that cannot be read is not yielded.

    Raises:
        StoreMismatch: The blob store has not the id of this database; raised before anything is yielded.
        SftError: The first error of listing or reading, raised after every other blob was yielded.
    """
    require_same_store(begin, blobs)
    with begin(read_only=True) as unit:
        first = unit.reclaimable.oldest_account_created_at()
    if first is None or first > before:
        return
    failed: list[SftError] = []
    old = (
        blob for blob in _listed(blobs, failed) if blob.stored_at <= before and file_id_of_blob(blob.key) is not None
    )
    while batch := list(islice(old, batch_size)):
        headers = dict(_headers(blobs, _unreferenced(begin, batch), failed))
        with begin(read_only=True) as unit:
            parts = unit.reclaimable.parts_by_header({header for header in headers.values() if header})
        yield from (UnreferencedBlob(blob, parts.get(header)) for blob, header in headers.items())
    if failed:
        raise failed[0]


def delete_orphan(begin: UnitOfWorkFactory[MaintenanceUnit], blobs: BlobStore, blob: BlobInfo) -> bool:
    """
    Delete a blob if still no row refers to it; return whether it was deleted.
    """
    found = _unreferenced(begin, [blob])
    for orphan in found:
        blobs.delete(orphan.key)
    return bool(found)


def _unreferenced(begin: UnitOfWorkFactory[MaintenanceUnit], candidates: Sequence[BlobInfo]) -> list[BlobInfo]:
    with begin(read_only=True) as unit:
        referenced = unit.reclaimable.referenced_keys([blob.key for blob in candidates])
        unreferenced = [blob for blob in candidates if blob.key not in referenced]
        named = {file_id for file_id in (file_id_of_blob(blob.key) for blob in unreferenced) if file_id is not None}
        needed = {file_id for file_id in named if _may_need_blob(unit, file_id)}
    return [blob for blob in unreferenced if file_id_of_blob(blob.key) not in needed]


def _may_need_blob(unit: MaintenanceUnit, file_id: FileId) -> bool:
    """
    Return whether a file may need a blob that no manifest names.

    An upload may: its manifest is updated later. The blobs of a file in a deletion state are left to that deletion. A
    sealed file may, if its manifest lost entries: the blobs are all that is left of them. So may an unreadable row.
    """
    try:
        file = unit.files.get(file_id)
    except RowDamaged:
        return True
    if file is None:
        return False
    count, size = unit.manifests.totals(file_id)
    return file.state is not FileState.SEALED or not count or size != file.size


def _listed(blobs: BlobStore, failed: list[SftError]) -> Iterator[BlobInfo]:
    try:
        yield from blobs.list()
    except SftError as error:
        failed.append(error)


def _headers(
    blobs: BlobStore, candidates: Iterable[BlobInfo], failed: list[SftError]
) -> Iterator[tuple[BlobInfo, bytes]]:
    """
    Yield each readable blob with its header, empty if too short for a part.
    """
    for blob in candidates:
        header = bytearray(PART_HEADER_BYTES if blob.size >= PART_HEADER_BYTES else 0)
        try:
            if header:
                blobs.read_into(blob.key, 0, memoryview(header), size=blob.size)
        except (BlobMissing, BlobSizeMismatch):
            # Another process is deleting or replacing it.
            continue
        except SftError as error:
            failed.append(error)
        else:
            yield blob, bytes(header)
