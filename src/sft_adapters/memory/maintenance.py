"""
The queries of maintenance on the database in memory.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from sft_adapters.memory.tables import Repository, Tables
from sft_core.maintenance.ports import Drift, IdleSince
from sft_core.values import FileId, UserId
from sft_core.vault.model import CONDEMNED, File, FileState, Part


def _page(files: Iterable[File], after: FileId | None, limit: int) -> list[FileId]:
    return heapq.nsmallest(limit, (file.id for file in files if after is None or file.id > after))


class Leftovers(Repository):
    """
    Implements `sft_core.maintenance.ports.ReclaimableFiles`.
    """

    def condemned(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        return _page((file for file in self.read().files.values() if file.state in CONDEMNED), after, limit)

    def idle(self, *, since: IdleSince, after: FileId | None, limit: int) -> Sequence[FileId]:
        tables = self.read()
        return _page((file for file in tables.files.values() if _is_idle(tables, file, since)), after, limit)

    def expired(self, *, by: datetime, after: FileId | None, limit: int) -> Sequence[FileId]:
        return _page((file for file in self.read().files.values() if _is_expired(file, by)), after, limit)

    def expire(self, file_id: FileId, *, by: datetime, now: datetime) -> bool:
        tables = self.write()
        file = tables.files.get(file_id)
        if file is None or not _is_expired(file, by):
            return False
        tables.files[file_id] = file.condemned(now)
        return True

    def give_up(self, file_id: FileId, *, since: IdleSince, now: datetime) -> bool:
        tables = self.write()
        file = tables.files.get(file_id)
        if file is None or not _is_idle(tables, file, since):
            return False
        tables.files[file_id] = file.aborted(now)
        return True

    def recorded(self, blob_keys: Iterable[str]) -> frozenset[str]:
        known = {part.blob_key for parts in self.read().parts.values() for part in parts}
        return frozenset(known.intersection(blob_keys))

    def places_of(self, headers: Collection[bytes]) -> Mapping[bytes, tuple[FileId, int]]:
        known = ((file_id, part) for file_id, parts in self.read().parts.items() for part in parts)
        return {part.header: (file_id, part.number) for file_id, part in known if part.header in headers}

    def first_account(self) -> datetime | None:
        return min((user.created_at for user in self.read().users.values()), default=None)


def _is_expired(file: File, by: datetime) -> bool:
    return file.state is FileState.SEALED and file.is_expired(by)


def _is_idle(tables: Tables, file: File, since: IdleSince) -> bool:
    least = since.resumable if file.id in tables.uploads else since.single
    return file.state is FileState.RECEIVING and file.touched_at <= least


class Mark(Repository):
    """
    Implements `sft_core.vault.ports.StoreIdentity`.
    """

    def mark(self) -> str | None:
        return self.read().mark

    def set_mark(self, mark: str) -> str:
        tables = self.write()
        tables.mark = tables.mark or mark
        return tables.mark


class Inventory(Repository):
    """
    Implements `sft_core.maintenance.ports.Inventory`.
    """

    def files(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        return _page(self.read().files.values(), after, limit)

    def parts(self, file_id: FileId, *, after: int, limit: int) -> Sequence[Part]:
        return [part for part in self.read().parts.get(file_id, ()) if part.number > after][:limit]

    def stray_parts(self, *, after: str, limit: int) -> Sequence[str]:
        tables = self.read()
        stray = (parts for file_id, parts in tables.parts.items() if file_id not in tables.files)
        return heapq.nsmallest(limit, (part.blob_key for parts in stray for part in parts if part.blob_key > after))

    def key_ids(self) -> Mapping[str, frozenset[str]]:
        tables = self.read()
        return {
            "links": frozenset(link.token.key_id for link in tables.links.values() if link.token),
            "second factors": frozenset(user.totp.seed.key_id for user in tables.users.values() if user.totp),
        }


class Ledger(Repository):
    """
    Implements `sft_core.maintenance.ports.QuotaAudit`.
    """

    def drifts(self) -> Sequence[Drift]:
        tables = self.read()
        due: dict[UserId, int] = defaultdict(int)
        wrong = set()
        for file in tables.files.values():
            due[file.owner] += _due(tables, file)
            if _due(tables, file) != tables.holds.get(file.id, 0):
                wrong.add(file.owner)
        owners = sorted({*due, *tables.usages})
        found = [Drift(owner=owner, counted=tables.usages.get(owner, 0), due=due[owner]) for owner in owners]
        return [drift for drift in found if drift.counted != drift.due or drift.owner in wrong]

    def recount(self, owner: UserId) -> None:
        tables = self.write()
        for file in _of(tables, owner):
            tables.holds[file.id] = _due(tables, file)
        tables.usages[owner] = sum(tables.holds[file.id] for file in _of(tables, owner))


def _of(tables: Tables, owner: UserId) -> Iterator[File]:
    return (file for file in tables.files.values() if file.owner == owner)


def _due(tables: Tables, file: File) -> int:
    return file.size if file.state is FileState.SEALED else tables.holds.get(file.id, 0)
