"""
Manifests as rows: one row a part.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from sqlalchemy import Connection, delete, func, insert, select

from sft_adapters.sql.errors import translated
from sft_adapters.sql.tables import parts
from sft_core.values import ByteRange, FileId
from sft_core.vault.model import Part

COLUMNS = [column for column in parts.c if column.name != "file_id"]


@attrs.frozen
class SqlManifests:
    """
    Implements `sft_core.vault.ports.Manifests`.
    """

    connection: Connection

    def append(self, file_id: FileId, parts_to_add: Sequence[Part]) -> None:
        rows = [attrs.asdict(part) | {"file_id": file_id.bytes} for part in parts_to_add]
        if rows:
            with translated():
                self.connection.execute(insert(parts), rows)

    def covering(self, file_id: FileId, span: ByteRange, *, limit: int) -> Sequence[Part]:
        if not len(span):
            return []
        # The part before the first one that starts inside the span may reach into it: find that
        # one by the index, then walk on from there. Empty parts hold no byte.
        own = parts.c.file_id == file_id.bytes
        before = select(func.max(parts.c.start)).where(own, parts.c.start <= span.start, parts.c.size > 0)
        query = (
            select(*COLUMNS)
            .where(
                own,
                parts.c.size > 0,
                parts.c.start >= func.coalesce(before.scalar_subquery(), 0),
                parts.c.start < span.stop,
                parts.c.start + parts.c.size > span.start,
            )
            .order_by(parts.c.start, parts.c.number)
            .limit(limit)
        )
        with translated():
            return [Part(**row) for row in self.connection.execute(query).mappings()]

    def tail(self, file_id: FileId, *, limit: int) -> Sequence[Part]:
        last_first = (
            select(*COLUMNS).where(parts.c.file_id == file_id.bytes).order_by(parts.c.number.desc()).limit(limit)
        )
        with translated():
            return [Part(**row) for row in self.connection.execute(last_first).mappings()][::-1]

    def cut(self, file_id: FileId, number: int) -> None:
        with translated():
            self.connection.execute(delete(parts).where(parts.c.file_id == file_id.bytes, parts.c.number >= number))

    def totals(self, file_id: FileId) -> tuple[int, int]:
        query = select(func.count(), func.coalesce(func.sum(parts.c.size), 0)).where(parts.c.file_id == file_id.bytes)
        with translated():
            count, size = self.connection.execute(query).one()
        return int(count), int(size)
