"""
The queries of maintenance in SQL.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select, true, update

from sft_adapters.sql.manifests import COLUMNS
from sft_adapters.sql.repository import Repository
from sft_adapters.sql.tables import UNFINISHED, files, links, parts, uploads, usages, users
from sft_core.maintenance.ports import IdleCutoffs, QuotaDrift
from sft_core.values import FileId, UserId
from sft_core.vault.model import DELETION_STATES, FileState, Part

_IS_BEING_DELETED: Final = files.c.state.in_([state.value for state in DELETION_STATES])
_IS_SEALED: Final = files.c.state == FileState.SEALED.value
_EXPECTED_BYTES: Final = case((_IS_SEALED, files.c.size), else_=files.c.held)


def _page(connection: Connection, condition: ColumnElement[bool], after: FileId | None, limit: int) -> list[FileId]:
    later = files.c.id > after.bytes if after is not None else true()
    query = select(files.c.id).where(condition, later).order_by(files.c.id).limit(limit)
    return [FileId(UUID(bytes=file_id)) for file_id in connection.execute(query).scalars()]


class SqlReclaimableFiles(Repository):
    """
    Implements `sft_core.maintenance.ports.ReclaimableFiles`.
    """

    def in_deletion(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        return _page(self.connection, and_(UNFINISHED, _IS_BEING_DELETED), after, limit)

    def idle(self, *, since: IdleCutoffs, after: FileId | None, limit: int) -> Sequence[FileId]:
        return _page(self.connection, and_(UNFINISHED, _is_idle(since)), after, limit)

    def expired(self, *, by: datetime, after: FileId | None, limit: int) -> Sequence[FileId]:
        return _page(self.connection, _is_expired(by), after, limit)

    def expire(self, file_id: FileId, *, by: datetime, now: datetime) -> bool:
        return self._set_final_state(file_id, _is_expired(by), FileState.DELETING, now)

    def abort_idle(self, file_id: FileId, *, since: IdleCutoffs, now: datetime) -> bool:
        return self._set_final_state(file_id, _is_idle(since), FileState.ABORTING, now)

    def _set_final_state(
        self, file_id: FileId, condition: ColumnElement[bool], state: FileState, now: datetime
    ) -> bool:
        change = {"state": state.value, "key_id": None, "wrapped_key": None, "touched_at": now}
        condemned = update(files).where(files.c.id == file_id.bytes, condition).values(change)
        return self.connection.execute(condemned).rowcount == 1

    def referenced_keys(self, blob_keys: Iterable[str]) -> frozenset[str]:
        query = select(parts.c.blob_key).where(parts.c.blob_key.in_(list(blob_keys)))
        return frozenset(self.connection.execute(query).scalars())

    def parts_by_header(self, headers: Collection[bytes]) -> Mapping[bytes, tuple[FileId, int]]:
        query = select(parts.c.header, parts.c.file_id, parts.c.number).where(parts.c.header.in_(headers))
        rows = self.connection.execute(query).all() if headers else ()
        return {row.header: (FileId(UUID(bytes=row.file_id)), row.number) for row in rows}

    def oldest_account_created_at(self) -> datetime | None:
        first: datetime | None = self.connection.execute(select(func.min(users.c.created_at))).scalar_one()
        return first


def _is_expired(by: datetime) -> ColumnElement[bool]:
    return and_(_IS_SEALED, files.c.expires_at <= by)


def _is_idle(since: IdleCutoffs) -> ColumnElement[bool]:
    is_resumable = select(uploads.c.file_id).where(uploads.c.file_id == files.c.id).exists()
    is_untouched = or_(
        and_(is_resumable, _untouched_since(since.resumable)),
        and_(~is_resumable, _untouched_since(since.non_resumable)),
    )
    return and_(files.c.state == FileState.RECEIVING.value, is_untouched)


def _untouched_since(since: datetime) -> ColumnElement[bool]:
    # A release without `touched_at` leaves it 0, so `created_at` counts too.
    return and_(files.c.created_at <= since, files.c.touched_at <= since)


class SqlInventory(Repository):
    """
    Implements `sft_core.maintenance.ports.Inventory`.
    """

    def files(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        return _page(self.connection, true(), after, limit)

    def parts(self, file_id: FileId, *, after: int, limit: int) -> Sequence[Part]:
        later = (parts.c.file_id == file_id.bytes) & (parts.c.number > after)
        query = select(*COLUMNS).where(later).order_by(parts.c.number).limit(limit)
        return [Part(**row) for row in self.connection.execute(query).mappings()]

    def dangling_part_keys(self, *, after: str, limit: int) -> Sequence[str]:
        own = select(files.c.id).where(files.c.id == parts.c.file_id).exists()
        # Blob keys are ASCII. The database's collation does not matter, if it is the same in each call.
        stray = select(parts.c.blob_key).where(parts.c.blob_key > after, ~own).order_by(parts.c.blob_key).limit(limit)
        return list(self.connection.execute(stray).scalars())

    def key_ids(self) -> Mapping[str, frozenset[str]]:
        wrapped = {"links": links.c.token_key_id, "second factors": users.c.totp_key_id}
        return {
            name: frozenset(self.connection.execute(select(column).where(column.is_not(None)).distinct()).scalars())
            for name, column in wrapped.items()
        }


class SqlQuotaAudit(Repository):
    """
    Implements `sft_core.maintenance.ports.QuotaAudit`.
    """

    def drifts(self) -> Sequence[QuotaDrift]:
        sums = (
            select(
                files.c.owner_id,
                func.sum(_EXPECTED_BYTES).label("due"),
                func.sum(case((files.c.held != _EXPECTED_BYTES, 1), else_=0)).label("wrong"),
            )
            .group_by(files.c.owner_id)
            .subquery()
        )
        counted = func.coalesce(usages.c.bytes, 0)
        due = func.coalesce(sums.c.due, 0)
        query = (
            select(users.c.id, counted.label("counted"), due.label("due"))
            .join_from(users, usages, usages.c.owner_id == users.c.id, isouter=True)
            .join(sums, sums.c.owner_id == users.c.id, isouter=True)
            .where(or_(counted != due, func.coalesce(sums.c.wrong, 0) > 0))
            .order_by(users.c.id)
        )
        return [
            QuotaDrift(owner=UserId(UUID(bytes=row.id)), recorded=int(row.counted), actual=int(row.due))
            for row in self.connection.execute(query)
        ]

    def recount(self, owner: UserId) -> None:
        own = files.c.owner_id == owner.bytes
        self._lock(owner, own)
        # Only wrong rows: a row added since the lock is right, and its writer may wait for the sum's lock.
        drifted = update(files).where(own, _IS_SEALED, files.c.held != files.c.size)
        self.connection.execute(drifted.values(held=files.c.size))
        total = select(func.coalesce(func.sum(files.c.held), 0)).where(own)
        # A statement of its own, so that it sees the commits that the lock waited for.
        counted = int(self.connection.execute(total).scalar_one())
        self.connection.execute(update(usages).where(usages.c.owner_id == owner.bytes).values(bytes=counted))

    def _lock(self, owner: UserId, own: ColumnElement[bool]) -> None:
        # The owner's files, then the sum: the lock order of every change of a reservation.
        rows = select(files.c.id).where(own).order_by(files.c.id).with_for_update(key_share=True)
        self.connection.execute(rows).all()
        row = self._insert(usages).values(owner_id=owner.bytes, bytes=0)
        self.connection.execute(row.on_conflict_do_update(index_elements=["owner_id"], set_={"bytes": usages.c.bytes}))
