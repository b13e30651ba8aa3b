"""
Every row of the database in memory, checked against the rows it refers to.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from uuid import UUID

from sft_adapters.memory.tables import Repository, Tables
from sft_core.maintenance.ports import IntegrityRow, RowKind
from sft_core.values import FileId, UserId


class IntegrityRows(Repository):
    """
    Implements `sft_core.maintenance.ports.IntegrityRows`.
    """

    def page(self, kind: RowKind, *, after: UUID | None, limit: int) -> Sequence[IntegrityRow]:
        later = (row for row in _all(self.read(), kind) if after is None or row.id > after)
        return heapq.nsmallest(limit, later, key=lambda row: row.id)

    def get(self, kind: RowKind, row_id: UUID) -> IntegrityRow | None:
        return next((row for row in _all(self.read(), kind) if row.id == row_id), None)


def _all(tables: Tables, kind: RowKind) -> Iterator[IntegrityRow]:
    found: dict[RowKind, Iterator[IntegrityRow]] = {
        RowKind.FILE: (
            IntegrityRow(kind=kind, id=file.id.value, missing=_lacks(tables, owner=file.owner))
            for file in tables.files.values()
        ),
        RowKind.LINK: (
            IntegrityRow(
                kind=kind, id=link.id.value, missing=_lacks(tables, link.file_id, link.owner), secret=link.token
            )
            for link in tables.links.values()
        ),
        RowKind.UPLOAD: (
            IntegrityRow(kind=kind, id=file_id.value, missing=_lacks(tables, file_id)) for file_id in tables.uploads
        ),
        RowKind.USAGE: (
            IntegrityRow(kind=kind, id=owner.value, missing=_lacks(tables, owner=owner)) for owner in tables.usages
        ),
        RowKind.USER: (
            IntegrityRow(kind=kind, id=user.id.value, secret=user.totp.seed if user.totp else None)
            for user in tables.users.values()
        ),
    }
    return found[kind]


def _lacks(tables: Tables, file: FileId | None = None, owner: UserId | None = None) -> frozenset[str]:
    found = {"file": file is None or file in tables.files, "account": owner is None or owner in tables.users}
    return frozenset(name for name, is_there in found.items() if not is_there)
