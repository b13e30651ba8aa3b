"""
Every row of the database, checked against the rows it refers to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import attrs
from sqlalchemy import Column, ColumnElement, Row, Select, Table, null, select, true

from sft_adapters.sql.repository import Repository
from sft_adapters.sql.tables import files, links, uploads, usages, users
from sft_core.maintenance.ports import IntegrityRow, RowKind
from sft_core.values import WrappedSecret

_NAMED: Final[Mapping[str, Table]] = {"file": files, "account": users}


@attrs.frozen
class _RowColumns:
    """
    The columns of one kind of row: id, references, key id and wrapped secret.
    """

    id: Column[Any]
    names: Mapping[str, Column[Any]]
    key_id: ColumnElement[Any] = attrs.field(factory=null)
    wrapped: ColumnElement[Any] = attrs.field(factory=null)


_ROW_COLUMNS: Final = {
    RowKind.FILE: _RowColumns(files.c.id, {"account": files.c.owner_id}),
    RowKind.LINK: _RowColumns(
        links.c.id, {"file": links.c.file_id, "account": links.c.owner_id}, links.c.token_key_id, links.c.wrapped_token
    ),
    RowKind.UPLOAD: _RowColumns(uploads.c.file_id, {"file": uploads.c.file_id}),
    RowKind.USAGE: _RowColumns(usages.c.owner_id, {"account": usages.c.owner_id}),
    RowKind.USER: _RowColumns(users.c.id, {}, users.c.totp_key_id, users.c.totp_seed),
}


class SqlIntegrityRows(Repository):
    """
    Implements `sft_core.maintenance.ports.IntegrityRows`.
    """

    def page(self, kind: RowKind, *, after: UUID | None, limit: int) -> Sequence[IntegrityRow]:
        return self._records(kind, _ROW_COLUMNS[kind].id > after.bytes if after is not None else true(), limit)

    def get(self, kind: RowKind, row_id: UUID) -> IntegrityRow | None:
        return next(iter(self._records(kind, _ROW_COLUMNS[kind].id == row_id.bytes, 1)), None)

    def _records(self, kind: RowKind, condition: ColumnElement[bool], limit: int) -> list[IntegrityRow]:
        query = _query(_ROW_COLUMNS[kind], condition, limit)
        return [_record(kind, row) for row in self.connection.execute(query)]


def _query(source: _RowColumns, condition: ColumnElement[bool], limit: int) -> Select[Any]:
    named = [column.label(f"its_{name}") for name, column in source.names.items()]
    columns = (source.id.label("id"), source.key_id.label("key_id"), source.wrapped.label("wrapped"), *named)
    # The rows first, then the lookup of their references: so no plan scans the whole other table.
    page = select(*columns).where(condition).order_by(source.id).limit(limit).subquery()
    query: Select[Any] = select(page.c.id, page.c.key_id, page.c.wrapped).select_from(page).order_by(page.c.id)
    for name in source.names:
        other = _NAMED[name].alias()
        query = query.outerjoin(other, other.c.id == page.c[f"its_{name}"])
        query = query.add_columns(other.c.id.is_(None).label(f"lacks_{name}"))
    return query


def _record(kind: RowKind, row: Row[Any]) -> IntegrityRow:
    return IntegrityRow(
        kind=kind,
        id=UUID(bytes=row.id),
        missing=frozenset(name for name in _ROW_COLUMNS[kind].names if getattr(row, f"lacks_{name}")),
        secret=WrappedSecret(row.key_id, row.wrapped) if row.wrapped is not None else None,
    )
