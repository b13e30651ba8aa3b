"""
The manifests in SQL: one row for each part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
from sqlalchemy import bindparam, delete, func, insert, select

from sft_adapters.sql.repository import Repository
from sft_adapters.sql.tables import parts
from sft_core.values import ByteRange, FileId
from sft_core.vault.model import Part

COLUMNS: Final = [column for column in parts.c if column.name != "file_id"]

_OWN: Final = parts.c.file_id == bindparam("file")
_APPEND: Final = insert(parts)
# The last part that starts at or before the span may extend into it: the index finds that part, and
# the scan continues from it. Empty parts contain no byte.
_BEFORE: Final = select(func.max(parts.c.start)).where(_OWN, parts.c.start <= bindparam("first"), parts.c.size > 0)
_COVERING: Final = (
    select(*COLUMNS)
    .where(
        _OWN,
        parts.c.size > 0,
        parts.c.start >= func.coalesce(_BEFORE.scalar_subquery(), 0),
        parts.c.start < bindparam("stop"),
        parts.c.start + parts.c.size > bindparam("first"),
    )
    .order_by(parts.c.start, parts.c.number)
    .limit(bindparam("most"))
)
_LAST_FIRST: Final = select(*COLUMNS).where(_OWN).order_by(parts.c.number.desc()).limit(bindparam("most"))
_TOTALS: Final = select(func.count(), func.coalesce(func.sum(parts.c.size), 0)).where(_OWN)


class SqlManifests(Repository):
    """
    Implements `sft_core.vault.ports.Manifests`.
    """

    def append(self, file_id: FileId, parts_to_add: Sequence[Part]) -> None:
        rows = [attrs.asdict(part) | {"file_id": file_id.bytes} for part in parts_to_add]
        if rows:
            self.connection.execute(_APPEND, rows)

    def covering(self, file_id: FileId, span: ByteRange, *, limit: int) -> Sequence[Part]:
        if not len(span):
            return []
        parameters = {"file": file_id.bytes, "first": span.start, "stop": span.stop, "most": limit}
        return [Part(**row) for row in self.connection.execute(_COVERING, parameters).mappings()]

    def tail(self, file_id: FileId, *, limit: int) -> Sequence[Part]:
        parameters = {"file": file_id.bytes, "most": limit}
        return [Part(**row) for row in self.connection.execute(_LAST_FIRST, parameters).mappings()][::-1]

    def truncate(self, file_id: FileId, number: int) -> None:
        self.connection.execute(delete(parts).where(parts.c.file_id == file_id.bytes, parts.c.number >= number))

    def totals(self, file_id: FileId) -> tuple[int, int]:
        count, size = self.connection.execute(_TOTALS, {"file": file_id.bytes}).one()
        return int(count), int(size)
