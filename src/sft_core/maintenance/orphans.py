"""
Stored parts that belong to no row, told from those that may be the only copy of something.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

import attrs

from sft_core.errors import BlobMissing, BlobSizeMismatch, RowDamaged, SftError
from sft_core.maintenance.ports import SweepUnit
from sft_core.maintenance.store_identity import require_own
from sft_core.ports import Begin
from sft_core.values import FileId
from sft_core.vault.model import PART_HEADER_BYTES, FileState, file_of
from sft_core.vault.ports import BlobInfo, BlobStore, MarkedStore

T = TypeVar("T")


@attrs.frozen
class Stray:
    """
    A blob that no manifest names. It is an orphan, to be removed, unless it is `part_of` a file all the same.

    For what a part's blob begins with no other part has: under whatever name it lies there, and
    whatever lies in its place, it may be the only copy.
    """

    blob: BlobInfo
    part_of: tuple[FileId, int] | None = None


def find_strays(begin: Begin[SweepUnit], blobs: MarkedStore, *, before: datetime, together: int) -> Iterator[Stray]:
    """
    Blobs that were stored before a moment and belong to no row; so many are looked at `together`.

    None at all while the database itself is younger than that: an empty one beside a full store is
    more likely the wrong one. Blobs under keys that we never make are somebody else's, and all of
    them may be if the store belongs to another database: `StoreOfAnother`. What cannot be looked at
    is told at the end, by its error, and is no stray.
    """
    require_own(begin, blobs)
    with begin(read_only=True) as unit:
        first = unit.leftovers.first_account()
    if first is None or first > before:
        return
    old = (blob for blob in blobs.list() if blob.stored_at <= before and file_of(blob.key) is not None)
    failed: list[SftError] = []
    for batch in _batches(old, together, failed):
        headers = dict(_headers(blobs, _without_row(begin, batch), failed))
        with begin(read_only=True) as unit:
            places = unit.leftovers.places_of({header for header in headers.values() if header})
        yield from (Stray(blob, places.get(header)) for blob, header in headers.items())
    if failed:
        raise failed[0]


def remove_orphan(begin: Begin[SweepUnit], blobs: BlobStore, blob: BlobInfo) -> bool:
    """
    Look for the blob's row once more, and delete the blob if there is none.
    """
    found = _without_row(begin, [blob])
    for orphan in found:
        blobs.delete(orphan.key)
    return bool(found)


def _without_row(begin: Begin[SweepUnit], looked_at: Sequence[BlobInfo]) -> list[BlobInfo]:
    with begin(read_only=True) as unit:
        recorded = unit.leftovers.recorded([blob.key for blob in looked_at])
        unrecorded = [blob for blob in looked_at if blob.key not in recorded]
        named = {file_id for file_id in (file_of(blob.key) for blob in unrecorded) if file_id is not None}
        needed = {file_id for file_id in named if _may_need_more(unit, file_id)}
    return [blob for blob in unrecorded if file_of(blob.key) not in needed]


def _may_need_more(unit: SweepUnit, file_id: FileId) -> bool:
    """
    Whether a blob of this file may be of use though no manifest names it.

    An upload's may: the manifest learns of parts later. What is condemned is removed as a whole. A
    sealed file's may not, unless its manifest has lost lines: then they are all there is. And who
    knows what a row that cannot be read needs.
    """
    try:
        file = unit.files.get(file_id)
    except RowDamaged:
        return True
    if file is None:
        return False
    count, size = unit.manifests.totals(file_id)
    return file.state is not FileState.SEALED or not count or size != file.size


def _headers(
    blobs: BlobStore, looked_at: Iterable[BlobInfo], failed: list[SftError]
) -> Iterator[tuple[BlobInfo, bytes]]:
    """
    What each blob begins with; nothing of one that is too short to be a part.
    """
    for blob in looked_at:
        header = bytearray(PART_HEADER_BYTES if blob.size >= PART_HEADER_BYTES else 0)
        try:
            if header:
                blobs.read_into(blob.key, 0, memoryview(header), size=blob.size)
        except (BlobMissing, BlobSizeMismatch):
            # Somebody is at it just now.
            continue
        except SftError as error:
            failed.append(error)
        else:
            yield blob, bytes(header)


def _batches(items: Iterable[T], size: int, failed: list[SftError]) -> Iterator[list[T]]:
    """
    The items, so many together, also those that came before an error.
    """
    batch: list[T] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except SftError as error:
        failed.append(error)
    if batch:
        yield batch
