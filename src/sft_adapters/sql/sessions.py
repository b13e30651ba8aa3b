"""
The session store in SQL; each call is a short transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import attrs
from sqlalchemy import Engine, Row, bindparam, insert, select, update

from sft_adapters.sql.tables import sessions
from sft_adapters.sql.transactions import committing, transaction
from sft_core.users.model import Session
from sft_core.values import SessionId, UserId

# Built once, because every request executes it.
_GET: Final = select(sessions).where(sessions.c.id == bindparam("session"))


def _from_row(row: Row[Any]) -> Session:
    return Session(
        id=SessionId(UUID(bytes=row.id)),
        user_id=UserId(UUID(bytes=row.user_id)),
        created_at=row.created_at,
        expires_at=row.expires_at,
        generation=row.generation,
        revoked_at=row.revoked_at,
    )


@attrs.frozen
class SqlSessions:
    """
    Implements `sft_core.users.ports.SessionStore`.
    """

    engine: Engine

    def open(self, session: Session) -> None:
        row = attrs.asdict(session, recurse=False) | {"id": session.id.bytes, "user_id": session.user_id.bytes}
        with committing(self.engine) as connection:
            connection.execute(insert(sessions).values(row))

    def get(self, session_id: SessionId) -> Session | None:
        with transaction(self.engine, read_only=True) as (connection, _):
            row = connection.execute(_GET, {"session": session_id.bytes}).one_or_none()
        return _from_row(row) if row is not None else None

    def rotate(self, session_id: SessionId, *, generation: int, now: datetime, expires_at: datetime) -> bool:
        current = (sessions.c.id == session_id.bytes) & (sessions.c.generation == generation)
        live = sessions.c.revoked_at.is_(None) & (sessions.c.expires_at > now)
        change = update(sessions).where(current, live).values(generation=generation + 1, expires_at=expires_at)
        with committing(self.engine) as connection:
            return connection.execute(change).rowcount == 1

    def revoke(self, session_id: SessionId, *, now: datetime) -> None:
        live = (sessions.c.id == session_id.bytes) & sessions.c.revoked_at.is_(None)
        with committing(self.engine) as connection:
            connection.execute(update(sessions).where(live).values(revoked_at=now))
