"""
Expired rows, deleted in small transactions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import Column, ColumnElement, Engine, Select, Table, and_, delete, func, or_, select, update

from sft_adapters.sql.tables import kept_answers, links, sessions, throttles
from sft_adapters.sql.transactions import committing, transaction


@attrs.frozen
class ExpiringRows:
    """
    Implements `sft_core.ports.ExpiringStore` for the rows of a table, by the expiry in the column `end`.

    There is no index on it: maintaining one would cost more on each change than it saves a sweep.
    """

    engine: Engine
    table: Table
    end: Column[Any]

    def count_expired(self, *, before: datetime) -> int:
        query = select(func.count()).select_from(self.table).where(self.end < before)
        with transaction(self.engine, read_only=True) as (connection, _):
            return int(connection.execute(query).scalar_one())

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        (key,) = self.table.primary_key
        candidates = select(key).where(self.end < before).limit(limit)
        # The condition again: a row that was selected may have been renewed in the meantime.
        expired = key.in_(candidates) & (self.end < before)
        with committing(self.engine) as connection:
            return connection.execute(delete(self.table).where(expired)).rowcount


def expired_sessions(engine: Engine) -> ExpiringRows:
    """
    Return the store of expired sessions; their refresh tokens have expired with them.
    """
    return ExpiringRows(engine, sessions, sessions.c.expires_at)


def expired_throttles(engine: Engine) -> ExpiringRows:
    """
    Return the store of rate-limiter keys whose attempts are all restored.

    A deleted key behaves like one of these.
    """
    return ExpiringRows(engine, throttles, throttles.c.comes_back)


def expired_idempotency_records(engine: Engine) -> ExpiringRows:
    """
    Return the store of expired idempotency records.
    """
    return ExpiringRows(engine, kept_answers, kept_answers.c.expires_at)


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
        query = _without_idempotency_record(select(func.count()), before).where(_is_expired(before))
        with transaction(self.engine, read_only=True) as (connection, _):
            return int(connection.execute(query).scalar_one())

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        deleted = 0
        while deleted < limit:
            candidates = (
                _without_idempotency_record(select(links.c.id), before)
                .where(_is_expired(before))
                .limit(limit - deleted)
            )
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


def _without_idempotency_record(query: Select[Any], before: datetime) -> Select[Any]:
    """
    Restrict a query to links without an unexpired idempotency record.

    It uses a join: for NOT IN, PostgreSQL may scan the list again for each link.
    """
    records = kept_answers.c
    is_replayable = and_(records.token_digest == links.c.token_digest, records.expires_at >= before)
    return query.select_from(links.outerjoin(kept_answers, is_replayable)).where(records.key_digest.is_(None))
