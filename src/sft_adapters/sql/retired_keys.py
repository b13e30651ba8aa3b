"""
Retired keys: no secret is stored under one, and no stored secret uses one.

A retirement starts in a transaction of its own, counts the secrets under the key in the next one, and is then confirmed
or cancelled. A transaction that stores a wrapped secret checks whether the secret's key is retired. The start of a
retirement waits until every transaction that passed this check has ended, and blocks further checks until its own
commit. So a secret is either seen by the count or rejected.

SQLite has one writer at a time. On PostgreSQL writers share an advisory lock, which the start of a retirement holds
exclusively. The check is a separate statement after the lock: at READ COMMITTED it sees what was committed before the
lock was acquired.
"""

from __future__ import annotations

from typing import Final
from uuid import uuid4

from sqlalchemy import Connection, delete, func, insert, select, update

from sft_adapters.sql.tables import retired_keys
from sft_core.errors import KeyRetired
from sft_core.values import WrappedSecret

LOCK: Final = 0x6B6579
"""The number of the advisory lock on PostgreSQL: `key` in ASCII."""


def require_usable_key(connection: Connection, wrapped: WrappedSecret | None) -> None:
    """
    Raise `KeyRetired` if a secret that this transaction stores was wrapped under a retired key.
    """
    if wrapped is None:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock_shared(LOCK)))
    if _current_attempt(connection, wrapped.key_id) is not None:
        raise KeyRetired


def start_retirement(connection: Connection, key_id: str) -> str:
    """
    Reject new secrets under a key from this commit on; return the attempt's id.

    It waits for transactions that have checked the key, on PostgreSQL up to the lock timeout. Concurrent retirements of
    one key share the first one's attempt.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
    attempt = _current_attempt(connection, key_id)
    if attempt is None:
        attempt = uuid4().hex
        connection.execute(insert(retired_keys).values(key_id=key_id, attempt=attempt, is_settled=False))
    return attempt


def confirm_retirement(connection: Connection, key_id: str, attempt: str) -> bool:
    """
    Make the retirement permanent; return False if the attempt was cancelled in the meantime.
    """
    own = (retired_keys.c.key_id == key_id) & (retired_keys.c.attempt == attempt)
    return connection.execute(update(retired_keys).where(own).values(is_settled=True)).rowcount == 1


def cancel_retirement(connection: Connection, key_id: str, attempt: str) -> None:
    """
    Accept secrets under the key again; no effect if the attempt was confirmed.
    """
    own = (retired_keys.c.key_id == key_id) & (retired_keys.c.attempt == attempt)
    connection.execute(delete(retired_keys).where(own, ~retired_keys.c.is_settled))


def reinstate(connection: Connection, key_id: str) -> None:
    """
    Undo a retirement, confirmed or not.
    """
    connection.execute(delete(retired_keys).where(retired_keys.c.key_id == key_id))


def _current_attempt(connection: Connection, key_id: str) -> str | None:
    query = select(retired_keys.c.attempt).where(retired_keys.c.key_id == key_id)
    attempt: str | None = connection.execute(query).scalar_one_or_none()
    return attempt
