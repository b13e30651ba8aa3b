"""
The file repository in SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, bindparam, case, delete, insert, or_, select, update

from sft_adapters.sql import retired_keys
from sft_adapters.sql.errors import map_decoding_errors
from sft_adapters.sql.quotas import release_quota
from sft_adapters.sql.repository import Repository
from sft_adapters.sql.tables import UtcMicroseconds, files
from sft_core.values import FileId, FileName, MediaType, Page, UserId, WrappedSecret
from sft_core.vault.model import DELETION_STATES, Encryption, File, FileState, ShareTerms

# Building a statement costs more than executing it, so statements of every request are built once.
_ADD: Final = insert(files)
_GET: Final = select(files).where(files.c.id == bindparam("file"))
_SEALED: Final = (
    select(files)
    .where(files.c.owner_id == bindparam("owner"), files.c.state == FileState.SEALED.value)
    .where(or_(files.c.expires_at.is_(None), files.c.expires_at > bindparam("now", type_=UtcMicroseconds)))
    .order_by(files.c.created_at.desc(), files.c.id.desc())
    .offset(bindparam("skip"))
    .limit(bindparam("most"))
)
_TOUCHED_AT: Final = bindparam("moved", type_=UtcMicroseconds)
_REPLACE: Final = (
    update(files)
    .where(files.c.id == bindparam("file"), files.c.state == bindparam("expected"))
    .values(touched_at=case((files.c.touched_at > _TOUCHED_AT, files.c.touched_at), else_=_TOUCHED_AT))
)


def to_row(file: File) -> dict[str, Any]:
    """
    Return the columns of a file.
    """
    return {
        "id": file.id.bytes,
        "owner_id": file.owner.bytes,
        "state": file.state.value,
        "name": str(file.name),
        "original_name": str(file.original_name),
        "media_type": str(file.media_type),
        "size": file.size,
        "version": file.version,
        "encryption": file.encryption.value,
        "key_id": file.key.key_id if file.key else None,
        "wrapped_key": file.key.ciphertext if file.key else None,
        "max_downloads": file.terms.max_downloads,
        "expires_hours": file.terms.expires_hours,
        "created_at": file.created_at,
        "touched_at": file.touched_at,
        "expires_at": file.expires_at,
    }


def _from_row(row: Row[Any]) -> File:
    return File(
        id=FileId(UUID(bytes=row.id)),
        owner=UserId(UUID(bytes=row.owner_id)),
        state=FileState(row.state),
        name=FileName(row.name),
        original_name=FileName(row.original_name),
        media_type=MediaType(row.media_type),
        size=row.size,
        version=row.version,
        encryption=Encryption(row.encryption),
        key=WrappedSecret(row.key_id, row.wrapped_key) if row.wrapped_key is not None else None,
        terms=ShareTerms(max_downloads=row.max_downloads, expires_hours=row.expires_hours),
        created_at=row.created_at,
        touched_at=max(row.created_at, row.touched_at),
        expires_at=row.expires_at,
    )


class SqlFiles(Repository):
    """
    Implements `sft_core.vault.ports.FileRepository`.
    """

    def add(self, file: File) -> None:
        retired_keys.require_usable_key(self.connection, file.key)
        self.connection.execute(_ADD, to_row(file))

    def get(self, file_id: FileId) -> File | None:
        with map_decoding_errors():
            row = self.connection.execute(_GET, {"file": file_id.bytes}).one_or_none()
            return _from_row(row) if row is not None else None

    def list_sealed(self, owner: UserId, page: Page, *, now: datetime) -> Sequence[File]:
        parameters = {"owner": owner.bytes, "now": now, "skip": page.skip, "most": page.limit}
        with map_decoding_errors():
            return [_from_row(row) for row in self.connection.execute(_SEALED, parameters)]

    def replace(self, file: File, *, expected: FileState) -> bool:
        row = to_row(file) | {"file": file.id.bytes, "expected": expected.value, "moved": file.touched_at}
        del row["touched_at"]
        if file.key is not None:
            del row["key_id"], row["wrapped_key"]
        return self.connection.execute(_REPLACE, row).rowcount == 1

    def remove(self, file_id: FileId) -> None:
        # Parts and links are deleted by cascade. The owner's sum is updated after the file's row, which is
        # the lock order of `SqlQuotas`, so no deadlock is possible.
        deletable = (files.c.id == file_id.bytes) & files.c.state.in_([state.value for state in DELETION_STATES])
        removal = delete(files).where(deletable).returning(files.c.owner_id, files.c.held)
        deleted = self.connection.execute(removal).first()
        if deleted is not None and deleted.held:
            release_quota(self.connection, deleted.owner_id, deleted.held)
