"""
What a database holds already: asked before anything is made or opened beside it.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Connection, Engine, inspect, select

from sft_adapters.sql.tables import files, links, users
from sft_adapters.sql.transactions import transaction

_KEY_IDS: Final = ((files.c.id, files.c.key_id), (links.c.id, links.c.token_key_id), (users.c.id, users.c.totp_key_id))


def holds_accounts(engine: Engine) -> bool:
    """
    Whether somebody has registered; a database without our schema holds nobody.
    """
    with transaction(engine, read_only=True) as (connection, _):
        if not inspect(connection).has_table(users.name):
            return False
        return connection.execute(select(users.c.id).limit(1)).first() is not None


def key_ids(engine: Engine) -> set[str]:
    """
    The ids of the key-encryption keys of the oldest and the newest wrapped secrets of each kind.

    A sample that costs the same for any number of rows: it tells the wrong key ring from the right
    one at start. That every single row opens is for a full check to say.
    """
    with transaction(engine, read_only=True) as (connection, _):
        return {found for column in _KEY_IDS for found in _ends(connection, *column)}


def _ends(connection: Connection, row_id: Column[Any], key_id: Column[Any]) -> set[str]:
    wrapped = select(key_id).where(key_id.is_not(None)).limit(1)
    ends = (wrapped.order_by(row_id), wrapped.order_by(row_id.desc()))
    return {str(row[0]) for end in ends for row in connection.execute(end)}
