"""
Keys that nothing may be wrapped under any more, and the one proof that nothing is.

Who stores a wrapped secret asks in the same transaction whether its key is retired, and who retires
a key waits for every such transaction to end before anybody may ask again. So of the two either
the secret is there when it is looked for, or it is refused. SQLite has one writer at a time. On
PostgreSQL a writer holds an advisory lock together with other writers, and the retirement has it
alone; the question is a statement of its own, so that it sees what was committed before the lock
was had.
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


def admit(connection: Connection, wrapped: WrappedSecret | None) -> None:
    """
    Raise `KeyRetired` if a secret that this transaction stores was wrapped under a retired key.
    """
    if wrapped is None:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock_shared(LOCK)))
    if _attempt(connection, wrapped.key_id) is not None:
        raise KeyRetired


def begin(connection: Connection, key_id: str) -> str:
    """
    Let nobody who asks after this transaction store what was wrapped under a key; the name of the attempt.

    It waits for those who have asked before, on PostgreSQL for as long as locks are waited for. Of
    several who attempt it at once all go on with the first one's.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
    attempt = _attempt(connection, key_id)
    if attempt is None:
        attempt = uuid4().hex
        connection.execute(insert(retired_keys).values(key_id=key_id, attempt=attempt, is_settled=False))
    return attempt


def settle(connection: Connection, key_id: str, attempt: str) -> bool:
    """
    Let the key be retired from now on; False if the attempt has been given up meanwhile.
    """
    own = (retired_keys.c.key_id == key_id) & (retired_keys.c.attempt == attempt)
    return connection.execute(update(retired_keys).where(own).values(is_settled=True)).rowcount == 1


def give_up(connection: Connection, key_id: str, attempt: str) -> None:
    """
    Let secrets be wrapped under the key as before, unless somebody has settled the same attempt.
    """
    own = (retired_keys.c.key_id == key_id) & (retired_keys.c.attempt == attempt)
    connection.execute(delete(retired_keys).where(own, ~retired_keys.c.is_settled))


def readmit(connection: Connection, key_id: str) -> None:
    """
    Let secrets be wrapped under a key again.
    """
    connection.execute(delete(retired_keys).where(retired_keys.c.key_id == key_id))


def _attempt(connection: Connection, key_id: str) -> str | None:
    query = select(retired_keys.c.attempt).where(retired_keys.c.key_id == key_id)
    attempt: str | None = connection.execute(query).scalar_one_or_none()
    return attempt
