"""
Stored parts that belong to no row, told from those that may be the only copy of something.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, TypeVar

from sft_core.errors import SftError
from sft_core.ports import Begin
from sft_core.vault.model import File, FileState, file_of
from sft_core.vault.ports import BlobInfo, BlobStore
from sft_core.vault.upkeep_ports import SweepUnit

T = TypeVar("T")

_RECORDED_TOGETHER: Final = 100
"""How many blobs are asked for at once (`Leftovers.recorded`)."""


def find_orphans(begin: Begin[SweepUnit], blobs: BlobStore, *, before: datetime, together: int) -> Iterator[BlobInfo]:
    """
    Blobs that were stored before a moment and belong to no row; so many are looked at `together`.

    None at all while the database itself is younger than that: an empty one beside a full store is
    more likely the wrong one. Blobs under keys that we never make are somebody else's.
    """
    with begin(read_only=True) as unit:
        first = unit.leftovers.first_account()
    if first is None or first > before:
        return
    old = (blob for blob in blobs.list() if blob.stored_at <= before and file_of(blob.key) is not None)
    for batch in _batches(old, together):
        yield from _without_row(begin, blobs, batch)


def remove_orphan(begin: Begin[SweepUnit], blobs: BlobStore, blob: BlobInfo) -> bool:
    """
    Look for the blob's row once more, and delete the blob if there is none.
    """
    found = _without_row(begin, blobs, [blob])
    for orphan in found:
        blobs.delete(orphan.key)
    return bool(found)


def _without_row(begin: Begin[SweepUnit], blobs: BlobStore, looked_at: Sequence[BlobInfo]) -> list[BlobInfo]:
    with begin(read_only=True) as unit:
        recorded = unit.leftovers.recorded([blob.key for blob in looked_at])
        unrecorded = [blob for blob in looked_at if blob.key not in recorded]
        named = {file_id for file_id in (file_of(blob.key) for blob in unrecorded) if file_id is not None}
        files = [file for file in map(unit.files.get, named) if file is not None]
        needed = {file.id for file in files if _may_need_more(unit, file)}
    needed |= {file.id for file in files if file.id not in needed and not _has_every_part(begin, blobs, file)}
    return [blob for blob in unrecorded if file_of(blob.key) not in needed]


def _may_need_more(unit: SweepUnit, file: File) -> bool:
    """
    Whether a blob of this file may be of use though no manifest names it.

    An upload's may: the manifest learns of parts later. What is condemned is removed as a whole. A
    sealed file's may not, unless its manifest has lost lines: then they are all there is.
    """
    count, size = unit.manifests.totals(file.id)
    return file.state is not FileState.SEALED or not count or size != file.size


def _has_every_part(begin: Begin[SweepUnit], blobs: BlobStore, file: File) -> bool:
    """
    Whether each blob that a file's manifest names is there: else one that it does not name may be the missing one.
    """
    keys = [blob.key for blob in blobs.list(file.blob_prefix)]
    with begin(read_only=True) as unit:
        count, _ = unit.manifests.totals(file.id)
        return sum(len(unit.leftovers.recorded(some)) for some in _batches(keys, _RECORDED_TOGETHER)) >= count


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """
    The items, so many together. If they end with an error, it comes out after the last of them.
    """
    batch: list[T] = []
    failed: SftError | None = None
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except SftError as error:
        failed = error
    if batch:
        yield batch
    if failed is not None:
        raise failed
