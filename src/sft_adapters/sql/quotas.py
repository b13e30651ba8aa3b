"""
Quota reservations in SQL: each file's in its row, each owner's sum in another table.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Connection, LargeBinary, Row, bindparam, case, select, text, update

from sft_adapters.sql.repository import Repository
from sft_adapters.sql.tables import files, usages
from sft_core.errors import UploadAborted
from sft_core.values import FileId, UserId
from sft_core.vault.model import DELETION_STATES, FileState

# One statement decides, in the SQL of both databases. A second caller waits for the row's lock and
# then finds the first one's sum. `_reserve` checks the limit for an owner without a row.
_RESERVE: Final = text(
    "INSERT INTO usages (owner_id, bytes) VALUES (:owner, :more)"
    " ON CONFLICT (owner_id) DO UPDATE SET bytes = usages.bytes + :more"
    " WHERE usages.bytes <= :room"
    " RETURNING bytes",
).bindparams(
    bindparam("owner", type_=LargeBinary),
    bindparam("more", type_=BigInteger),
    bindparam("room", type_=BigInteger),
)

_SET_RESERVED: Final = update(files).where(files.c.id == bindparam("file"))
_USED: Final = select(usages.c.bytes).where(usages.c.owner_id == bindparam("owner"))
# SQLite has one writer at a time, and no FOR UPDATE.
_LOCK_FILE: Final = (
    select(files.c.owner_id, files.c.state, files.c.held)
    .where(files.c.id == bindparam("file"))
    .with_for_update(key_share=True)
)

_NO_LIMIT: Final = 2**63 - 1


class SqlQuotas(Repository):
    """
    Implements `sft_core.vault.ports.Quotas`.

    Every change locks the file's row first and its owner's sum second, so no deadlock is possible. An
    increase that runs concurrently with an abort or a deletion is either before it, and then released
    with the rest, or after it, and then raises `UploadAborted`.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        file = self._lock_file(file_id)
        if file is None or FileState(file.state) in DELETION_STATES:
            raise UploadAborted
        growth = size - file.held
        if growth > 0 and not self._reserve(file.owner_id, growth, _NO_LIMIT if limit is None else limit):
            return False
        if growth < 0:
            release_quota(self.connection, file.owner_id, -growth)
        if growth:
            self.connection.execute(_SET_RESERVED, {"file": file_id.bytes, "held": size})
        return True

    def release(self, file_id: FileId) -> None:
        file = self._lock_file(file_id)
        if file is not None and file.held and FileState(file.state) in DELETION_STATES:
            release_quota(self.connection, file.owner_id, file.held)
            self.connection.execute(_SET_RESERVED, {"file": file_id.bytes, "held": 0})

    def used(self, owner: UserId) -> int:
        return int(self.connection.execute(_USED, {"owner": owner.bytes}).scalar_one_or_none() or 0)

    def _lock_file(self, file_id: FileId) -> Row[Any, Any, Any] | None:
        return self.connection.execute(_LOCK_FILE, {"file": file_id.bytes}).one_or_none()

    def _reserve(self, owner: bytes, growth: int, limit: int) -> bool:
        if growth > limit:
            return False
        change = {"owner": owner, "more": growth, "room": limit - growth}
        return self.connection.execute(_RESERVE, change).first() is not None


def release_quota(connection: Connection, owner: bytes, size: int) -> None:
    """
    Reduce the sum of an owner's reservations by `size` bytes, at least to 0.

    A sum that has drifted below a file's reservation must not prevent the file's deletion; the doctor reports it.
    """
    own = usages.c.owner_id == owner
    left = case((usages.c.bytes > size, usages.c.bytes - size), else_=0)
    connection.execute(update(usages).where(own).values(bytes=left))
