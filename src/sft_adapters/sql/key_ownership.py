"""
The row of the storage's owning key, and a sample of the keys in use.

The row exists before anything else is stored. So if two services start with different keys, the
second fails at its start and not at files that it cannot decrypt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Column, Connection, Engine, delete, insert, select, update

from sft_adapters.sql import retired_keys
from sft_adapters.sql.tables import claims, files, links, users
from sft_adapters.sql.transactions import transaction

_KEY_IDS: Final = ((files.c.id, files.c.key_id), (links.c.id, links.c.token_key_id), (users.c.id, users.c.totp_key_id))


def keys_needed(engine: Engine) -> set[str]:
    """
    Return the ids of the owning key and of a sample of others.

    The sample is the keys of the oldest and the newest secret of each kind. Its cost does not depend on
    the number of rows. At start it distinguishes a wrong key ring. A full check verifies every row.
    """
    with transaction(engine, read_only=True) as (connection, _):
        return _keys_needed(connection)


def claiming(key_id: str, *, allow: Callable[[set[str]], None]) -> Callable[[Connection], None]:
    """
    Return a step for `migrate.upgrade` that makes a key the owner of the storage.

    The step calls `allow` with the keys in use; if `allow` raises, nothing is changed.
    """

    def claim(connection: Connection) -> None:
        allow(_keys_needed(connection))
        if claimed_by(connection) != key_id:
            connection.execute(delete(claims))
            connection.execute(insert(claims).values(number=1, key_id=key_id))
        # An operator has made a retired key active again, so it is in use again.
        retired_keys.readmit(connection, key_id)

    return claim


def belongs_to(engine: Engine) -> str | None:
    """
    Return the id of the key that owns the storage.

    None if no service has started on it yet.
    """
    with transaction(engine, read_only=True) as (connection, _):
        return claimed_by(connection)


def pass_on(engine: Engine, key_id: str) -> None:
    """
    Make another key the owner of an owned storage.

    Every secret must be wrapped under it.
    """
    with transaction(engine) as (connection, begun):
        connection.execute(update(claims).values(key_id=key_id))
        begun.commit()


def claimed_by(connection: Connection) -> str | None:
    """
    Return the id of the owning key, or None, within an open transaction.
    """
    key_id: str | None = connection.execute(select(claims.c.key_id)).scalar_one_or_none()
    return key_id


def _keys_needed(connection: Connection) -> set[str]:
    owner = claimed_by(connection)
    return {found for column in _KEY_IDS for found in _ends(connection, *column)} | ({owner} if owner else set())


def _ends(connection: Connection, row_id: Column[Any], key_id: Column[Any]) -> set[str]:
    wrapped = select(key_id).where(key_id.is_not(None)).limit(1)
    ends = (wrapped.order_by(row_id), wrapped.order_by(row_id.desc()))
    return {str(row[0]) for end in ends for row in connection.execute(end)}
