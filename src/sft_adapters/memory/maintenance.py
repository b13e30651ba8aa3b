"""
The queries of maintenance on the database in memory.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from sft_adapters.memory.tables import Repository, Tables
from sft_core.maintenance.ports import IdleCutoffs, QuotaDrift
from sft_core.values import FileId, UserId
from sft_core.vault.model import DELETION_STATES, File, FileState, Part


def _page(files: Iterable[File], after: FileId | None, limit: int) -> list[FileId]:
    return heapq.nsmallest(limit, (file.id for file in files if after is None or file.id > after))


class ReclaimableFiles(Repository):
    """
    Implements `sft_core.maintenance.ports.ReclaimableFiles`.
    """

    def in_deletion(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        return _page((file for file in self.read().files.values() if file.state in DELETION_STATES), after, limit)

    def idle(self, *, since: IdleCutoffs, after: FileId | None, limit: int) -> Sequence[FileId]:
        tables = self.read()
        return _page((file for file in tables.files.values() if _is_idle(tables, file, since)), after, limit)

    def expired(self, *, by: datetime, after: FileId | None, limit: int) -> Sequence[FileId]:
        return _page((file for file in self.read().files.values() if _is_expired(file, by)), after, limit)

    def expire(self, file_id: FileId, *, by: datetime, now: datetime) -> bool:
        files = self.write().files
        file = files.get(file_id)
        if file is None or not _is_expired(file, by):
            return False
        files[file_id] = file.deleting(now)
        return True

    def abort_idle(self, file_id: FileId, *, since: IdleCutoffs, now: datetime) -> bool:
        tables = self.write()
        file = tables.files.get(file_id)
        if file is None or not _is_idle(tables, file, since):
            return False
        tables.files[file_id] = file.aborted(now)
        return True

    def referenced_keys(self, blob_keys: Iterable[str]) -> frozenset[str]:
        known = {part.blob_key for parts in self.read().parts.values() for part in parts}
        return frozenset(known.intersection(blob_keys))

    def parts_by_header(self, headers: Collection[bytes]) -> Mapping[bytes, tuple[FileId, int]]:
        known = ((file_id, part) for file_id, parts in self.read().parts.items() for part in parts)
        return {part.header: (file_id, part.number) for file_id, part in known if part.header in headers}

    def oldest_account_created_at(self) -> datetime | None:
        return min((user.created_at for user in self.read().users.values()), default=None)


def _is_expired(file: File, by: datetime) -> bool:
    return file.state is FileState.SEALED and file.is_expired(by)


def _is_idle(tables: Tables, file: File, since: IdleCutoffs) -> bool:
    latest = since.resumable if file.id in tables.uploads else since.non_resumable
    return file.state is FileState.RECEIVING and file.touched_at <= latest


class StoreIdentity(Repository):
    """
    Implements `sft_core.vault.ports.StoreIdentity`.
    """

    def store_id(self) -> str | None:
        return self.read().store_id

    def set_store_id(self, store_id: str) -> str:
        tables = self.write()
        tables.store_id = tables.store_id or store_id
        return tables.store_id


class Inventory(Repository):
    """
    Implements `sft_core.maintenance.ports.Inventory`.
    """

    def files(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        return _page(self.read().files.values(), after, limit)

    def parts(self, file_id: FileId, *, after: int, limit: int) -> Sequence[Part]:
        return [part for part in self.read().parts.get(file_id, ()) if part.number > after][:limit]

    def dangling_part_keys(self, *, after: str, limit: int) -> Sequence[str]:
        tables = self.read()
        stray = (parts for file_id, parts in tables.parts.items() if file_id not in tables.files)
        return heapq.nsmallest(limit, (part.blob_key for parts in stray for part in parts if part.blob_key > after))

    def key_ids(self) -> Mapping[str, frozenset[str]]:
        tables = self.read()
        return {
            "links": frozenset(link.token.key_id for link in tables.links.values() if link.token),
            "second factors": frozenset(user.totp.seed.key_id for user in tables.users.values() if user.totp),
        }


class QuotaAudit(Repository):
    """
    Implements `sft_core.maintenance.ports.QuotaAudit`.
    """

    def drifts(self) -> Sequence[QuotaDrift]:
        tables = self.read()
        actual: dict[UserId, int] = defaultdict(int)
        wrong = set()
        for file in tables.files.values():
            actual[file.owner] += _expected_bytes(tables, file)
            if _expected_bytes(tables, file) != tables.reservations.get(file.id, 0):
                wrong.add(file.owner)
        owners = sorted({*actual, *tables.usages})
        found = [
            QuotaDrift(owner=owner, recorded=tables.usages.get(owner, 0), actual=actual[owner]) for owner in owners
        ]
        return [drift for drift in found if drift.recorded != drift.actual or drift.owner in wrong]

    def recount(self, owner: UserId) -> None:
        tables = self.write()
        for file in _files_of(tables, owner):
            tables.reservations[file.id] = _expected_bytes(tables, file)
        tables.usages[owner] = sum(tables.reservations[file.id] for file in _files_of(tables, owner))


def _files_of(tables: Tables, owner: UserId) -> Iterator[File]:
    return (file for file in tables.files.values() if file.owner == owner)


def _expected_bytes(tables: Tables, file: File) -> int:
    return file.size if file.state is FileState.SEALED else tables.reservations.get(file.id, 0)
