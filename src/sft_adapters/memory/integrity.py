"""
Every row of the database in memory, checked against the rows it refers to.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from uuid import UUID

from sft_adapters.memory.tables import Repository, Tables
from sft_core.maintenance.ports import IntegrityRow, RowKind
from sft_core.values import FileId, LinkId, UserId, WrappedSecret


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
    files, links = tables.files.values(), tables.links.values()
    rows: dict[RowKind, Iterator[tuple[FileId | LinkId | UserId, frozenset[str], WrappedSecret | None]]] = {
        RowKind.FILE: ((file.id, _lacks(tables, owner=file.owner), None) for file in files),
        RowKind.LINK: ((link.id, _lacks(tables, link.file_id, link.owner), link.token) for link in links),
        RowKind.UPLOAD: ((file_id, _lacks(tables, file_id), None) for file_id in tables.uploads),
        RowKind.USAGE: ((owner, _lacks(tables, owner=owner), None) for owner in tables.usages),
        RowKind.USER: ((user.id, frozenset(), user.totp.seed if user.totp else None) for user in tables.users.values()),
    }
    for row_id, missing, secret in rows[kind]:
        yield IntegrityRow(kind=kind, id=row_id.value, missing=missing, secret=secret)


def _lacks(tables: Tables, file: FileId | None = None, owner: UserId | None = None) -> frozenset[str]:
    found = {"file": file is None or file in tables.files, "account": owner is None or owner in tables.users}
    return frozenset(name for name, is_there in found.items() if not is_there)
