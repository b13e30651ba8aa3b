"""
Every row of the database in memory, checked against the rows it refers to.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from uuid import UUID

from sft_adapters.memory.tables import Repository, Tables
from sft_core.maintenance.ports import Record, RecordKind
from sft_core.values import FileId, UserId


class Records(Repository):
    """
    Implements `sft_core.maintenance.ports.Records`.
    """

    def page(self, kind: RecordKind, *, after: UUID | None, limit: int) -> Sequence[Record]:
        later = (record for record in _all(self.read(), kind) if after is None or record.id > after)
        return heapq.nsmallest(limit, later, key=lambda record: record.id)

    def get(self, kind: RecordKind, record_id: UUID) -> Record | None:
        return next((record for record in _all(self.read(), kind) if record.id == record_id), None)


def _all(tables: Tables, kind: RecordKind) -> Iterator[Record]:
    found: dict[RecordKind, Iterator[Record]] = {
        RecordKind.FILE: (
            Record(kind=kind, id=file.id.value, lacks=_lacks(tables, owner=file.owner))
            for file in tables.files.values()
        ),
        RecordKind.LINK: (
            Record(kind=kind, id=link.id.value, lacks=_lacks(tables, link.file_id, link.owner), secret=link.token)
            for link in tables.links.values()
        ),
        RecordKind.UPLOAD: (
            Record(kind=kind, id=file_id.value, lacks=_lacks(tables, file_id)) for file_id in tables.uploads
        ),
        RecordKind.USAGE: (
            Record(kind=kind, id=owner.value, lacks=_lacks(tables, owner=owner)) for owner in tables.usages
        ),
        RecordKind.USER: (
            Record(kind=kind, id=user.id.value, secret=user.totp.seed if user.totp else None)
            for user in tables.users.values()
        ),
    }
    return found[kind]


def _lacks(tables: Tables, file: FileId | None = None, owner: UserId | None = None) -> frozenset[str]:
    found = {"file": file is None or file in tables.files, "account": owner is None or owner in tables.users}
    return frozenset(name for name, is_there in found.items() if not is_there)
