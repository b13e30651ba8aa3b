"""
Rows that are over some day, let go of in small transactions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import Column, ColumnElement, Engine, Select, Table, and_, delete, func, or_, select, update

from sft_adapters.sql.tables import kept_answers, links, sessions, throttles
from sft_adapters.sql.transactions import transaction


@attrs.frozen
class SqlExpiring:
    """
    Implements `sft_core.ports.Expiring` for the rows of a table that have a moment in the column `end`.

    There is no index for it: it would cost each change of a row more than it saves a sweep.
    """

    engine: Engine
    table: Table
    end: Column[Any]

    def over(self, *, before: datetime) -> int:
        query = select(func.count()).select_from(self.table).where(self.end < before)
        with transaction(self.engine, read_only=True) as (connection, _):
            return int(connection.execute(query).scalar_one())

    def prune(self, *, before: datetime, limit: int) -> int:
        (key,) = self.table.primary_key
        some = select(key).where(self.end < before).limit(limit)
        # The condition again: a row that was found may have been prolonged meanwhile.
        over = key.in_(some) & (self.end < before)
        with transaction(self.engine) as (connection, begun):
            dropped = connection.execute(delete(self.table).where(over)).rowcount
            begun.commit()
        return dropped


def sessions_over(engine: Engine) -> SqlExpiring:
    """
    Sessions that have ended; a refresh token that names one has ended with it.
    """
    return SqlExpiring(engine, sessions, sessions.c.expires_at)


def throttles_over(engine: Engine) -> SqlExpiring:
    """
    Keys of attempts that have all come back; one that is dropped starts afresh, which is the same.
    """
    return SqlExpiring(engine, throttles, throttles.c.comes_back)


def answers_over(engine: Engine) -> SqlExpiring:
    """
    Answers kept under idempotency keys that stand for nothing any more.
    """
    return SqlExpiring(engine, kept_answers, kept_answers.c.expires_at)


@attrs.frozen
class SqlLinksOver:
    """
    Implements `sft_core.ports.Expiring` for the tokens of share links that have expired or were revoked.

    The row stays, for it tells how often the link was used and why it does not open. So does
    a token that an answer repeats which was kept until then. There is no index for it, as above;
    who looks for them keeps no writer waiting.
    """

    engine: Engine

    def over(self, *, before: datetime) -> int:
        query = _unrepeated(select(func.count()), before).where(_is_over(before))
        with transaction(self.engine, read_only=True) as (connection, _):
            return int(connection.execute(query).scalar_one())

    def prune(self, *, before: datetime, limit: int) -> int:
        forgotten = 0
        while forgotten < limit:
            some = _unrepeated(select(links.c.id), before).where(_is_over(before)).limit(limit - forgotten)
            with transaction(self.engine, read_only=True) as (connection, _):
                found = connection.execute(some).scalars().all()
            if not found:
                break
            # The condition again: somebody may have been here before. No answer is kept since that repeats
            # one of these: it is kept with its link, in one commit.
            over = links.c.id.in_(found) & _is_over(before)
            with transaction(self.engine) as (connection, begun):
                change = update(links).where(over).values(token_key_id=None, wrapped_token=None)
                forgotten += connection.execute(change).rowcount
                begun.commit()
        return forgotten


def _is_over(before: datetime) -> ColumnElement[bool]:
    over = or_(links.c.expires_at < before, links.c.revoked_at < before)
    return and_(links.c.token_key_id.is_not(None), over)


def _unrepeated(chosen: Select[Any], before: datetime) -> Select[Any]:
    """
    What is chosen of the links that no answer repeats.

    By a join: PostgreSQL goes through a long list of what a link is not to be in anew for each link.
    """
    answers = kept_answers.c
    repeats = and_(answers.token_digest == links.c.token_digest, answers.expires_at >= before)
    return chosen.select_from(links.outerjoin(kept_answers, repeats)).where(answers.key_digest.is_(None))
