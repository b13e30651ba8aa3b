"""
Expired rows, deleted in small transactions.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, Final

import attrs
from sqlalchemy import Column, ColumnElement, Engine, Select, and_, delete, func, or_, select, update

from sft_adapters.sql.tables import kept_answers, links, sessions, throttles
from sft_adapters.sql.transactions import committing, transaction


@attrs.frozen
class ExpiringRows:
    """
    Implements `sft_core.ports.ExpiringStore` for the rows of a table, by the expiry in the column `end`.

    There is no index on it: maintaining one would cost more on each change than it saves a sweep.
    """

    engine: Engine
    end: Column[Any]

    def count_expired(self, *, before: datetime) -> int:
        query = select(func.count()).where(self.end < before)
        with transaction(self.engine, read_only=True) as (connection, _):
            return int(connection.execute(query).scalar_one())

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        (key,) = self.end.table.primary_key
        candidates = select(key).where(self.end < before).limit(limit)
        # The condition again: a row that was selected may have been renewed in the meantime.
        expired = key.in_(candidates) & (self.end < before)
        with committing(self.engine) as connection:
            return connection.execute(delete(self.end.table).where(expired)).rowcount


expired_sessions: Final = partial(ExpiringRows, end=sessions.c.expires_at)
"""The expired sessions on an engine; their refresh tokens have expired with them."""

expired_throttles: Final = partial(ExpiringRows, end=throttles.c.comes_back)
"""The rate-limiter keys whose attempts are all restored; a deleted key behaves like one of these."""

expired_idempotency_records: Final = partial(ExpiringRows, end=kept_answers.c.expires_at)
"""The expired idempotency records on an engine."""


@attrs.frozen
class ExpiredLinkTokens:
    """
    Implements `sft_core.ports.ExpiringStore` for the tokens of expired and revoked share links.

    The row is kept: it records how often the link was used and why it is not live. A token is kept
    while an idempotency record refers to it. There is no index, as for other rows; the search is a
    read-only transaction, so no writer waits for it.
    """

    engine: Engine

    def count_expired(self, *, before: datetime) -> int:
        query = _select_deletable(func.count(), before)
        with transaction(self.engine, read_only=True) as (connection, _):
            return int(connection.execute(query).scalar_one())

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        deleted = 0
        while deleted < limit:
            candidates = _select_deletable(links.c.id, before).limit(limit - deleted)
            with transaction(self.engine, read_only=True) as (connection, _):
                found = connection.execute(candidates).scalars().all()
            if not found:
                break
            # The condition again: another sweep may have deleted the token. No idempotency record can refer to one
            # of these links since, as a record is stored in the same commit as its link.
            expired = links.c.id.in_(found) & _is_expired(before)
            with committing(self.engine) as connection:
                change = update(links).where(expired).values(token_key_id=None, wrapped_token=None)
                deleted += connection.execute(change).rowcount
        return deleted


def _is_expired(before: datetime) -> ColumnElement[bool]:
    expired = or_(links.c.expires_at < before, links.c.revoked_at < before)
    return and_(links.c.token_key_id.is_not(None), expired)


def _select_deletable(column: ColumnElement[Any], before: datetime) -> Select[Any]:
    # No unexpired idempotency record refers to the token. A join: for NOT IN, PostgreSQL may scan all for each link.
    records = kept_answers.c
    is_replayable = and_(records.token_digest == links.c.token_digest, records.expires_at >= before)
    joined = select(column).select_from(links.outerjoin(kept_answers, is_replayable))
    return joined.where(records.key_digest.is_(None), _is_expired(before))
