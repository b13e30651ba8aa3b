"""
The idempotency records in SQL.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from sft_adapters.sql.repository import Repository
from sft_adapters.sql.tables import kept_answers
from sft_core.sharing.idempotency import IdempotencyRecord
from sft_core.values import FileId, UserId


class SqlIdempotencyRecords(Repository):
    """
    Implements `sft_core.sharing.ports.IdempotencyRecords`.
    """

    def add(self, record: IdempotencyRecord, *, now: datetime) -> bool:
        # A second caller waits for the first one's transaction, and then either finds its row or inserts its
        # own. An expired row is replaced in the same statement.
        row = {
            "key_digest": record.key_digest,
            "owner_id": record.owner.bytes,
            "fingerprint": record.fingerprint,
            "file_id": record.file_id.bytes,
            "token_digest": record.token_digest,
            "expires_at": record.expires_at,
        }
        is_expired = kept_answers.c.expires_at <= now
        change = self._insert(kept_answers).values(row)
        change = change.on_conflict_do_update(index_elements=["key_digest"], set_=row, where=is_expired)
        return self.connection.execute(change.returning(kept_answers.c.key_digest)).first() is not None

    def find(self, key_digest: bytes, *, now: datetime) -> IdempotencyRecord | None:
        live = (kept_answers.c.key_digest == key_digest) & (kept_answers.c.expires_at > now)
        row = self.connection.execute(select(kept_answers).where(live)).one_or_none()
        if row is None:
            return None
        return IdempotencyRecord(
            key_digest=row.key_digest,
            owner=UserId(UUID(bytes=row.owner_id)),
            fingerprint=row.fingerprint,
            file_id=FileId(UUID(bytes=row.file_id)),
            token_digest=row.token_digest,
            expires_at=row.expires_at,
        )
