"""
Whose storage it is: which key-encryption keys it needs, and the one row that says so from the beginning.

The row is there before anything is stored, so of two services with keys of their own the second
one is told at its start, and not by files that it cannot open.
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
    The ids of the key that the storage belongs to and of those of the oldest and the newest secrets of each kind.

    A sample that costs the same for any number of rows: it tells the wrong key ring from the right
    one at start. That every single row opens is for a full check to say.
    """
    with transaction(engine, read_only=True) as (connection, _):
        return _keys_needed(connection)


def claiming(key_id: str, *, allow: Callable[[set[str]], None]) -> Callable[[Connection], None]:
    """
    A step that lets the storage belong to a key from now on, unless `allow` raises on the keys needed so far.
    """

    def claim(connection: Connection) -> None:
        allow(_keys_needed(connection))
        if claimed_by(connection) != key_id:
            connection.execute(delete(claims))
            connection.execute(insert(claims).values(number=1, key_id=key_id))
        # Whoever makes a retired key the active one again means it.
        retired_keys.readmit(connection, key_id)

    return claim


def belongs_to(engine: Engine) -> str | None:
    """
    The id of the key that the storage belongs to; None if no service has started on it yet.
    """
    with transaction(engine, read_only=True) as (connection, _):
        return claimed_by(connection)


def pass_on(engine: Engine, key_id: str) -> None:
    """
    Let a storage that belongs to some key belong to this one, which all that is stored is wrapped under.
    """
    with transaction(engine) as (connection, begun):
        connection.execute(update(claims).values(key_id=key_id))
        begun.commit()


def claimed_by(connection: Connection) -> str | None:
    """
    The same, inside a transaction that is open already.
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
