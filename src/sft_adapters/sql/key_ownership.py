"""
The row of the storage's owning key, and a sample of the keys in use.

The row exists before anything else is stored. So if two services start with different keys, the
second fails at its start and not at files that it cannot decrypt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, Engine, delete, insert, inspect, select, update

from sft_adapters.sql import retired_keys
from sft_adapters.sql.tables import claims, files, links, users
from sft_adapters.sql.transactions import committing, transaction

_KEY_IDS: Final = ((files.c.id, files.c.key_id), (links.c.id, links.c.token_key_id), (users.c.id, users.c.totp_key_id))


def required_key_ids(engine: Engine) -> set[str]:
    """
    Return the ids of the owning key and of a sample of other keys.

    The sample is the keys of the oldest and the newest secret of each kind: its cost does not depend on the number of
    rows. At start it distinguishes a wrong key ring; a full check verifies every row.
    """
    with transaction(engine, read_only=True) as (connection, _):
        return _required_key_ids(connection)


def is_in_use(engine: Engine) -> bool:
    """
    Return whether a service has started on the database or a user is registered.

    Neither is the case without this schema.
    """
    with transaction(engine, read_only=True) as (connection, _):
        tables = inspect(connection)
        if tables.has_table(claims.name) and read_owner_key_id(connection) is not None:
            return True
        if not tables.has_table(users.name):
            return False
        return connection.execute(select(users.c.id).limit(1)).first() is not None


def ownership_step(key_id: str, *, verify: Callable[[set[str]], None]) -> Callable[[Connection], None]:
    """
    Return a step for `migrate.upgrade` that makes a key the owner of the storage.

    The step calls `verify` with the keys in use; if `verify` raises, nothing is changed.
    """

    def set_owner(connection: Connection) -> None:
        verify(_required_key_ids(connection))
        if read_owner_key_id(connection) != key_id:
            connection.execute(delete(claims))
            connection.execute(insert(claims).values(number=1, key_id=key_id))
        # An operator has made a retired key active again, so it is in use again.
        retired_keys.reinstate(connection, key_id)

    return set_owner


def owner_key_id(engine: Engine) -> str | None:
    """
    Return the id of the storage's owning key; None if no service has started yet.
    """
    with transaction(engine, read_only=True) as (connection, _):
        return read_owner_key_id(connection)


def transfer_ownership(engine: Engine, key_id: str) -> None:
    """
    Make the key under which every secret is wrapped the owner of an owned storage.
    """
    with committing(engine) as connection:
        connection.execute(update(claims).values(key_id=key_id))


def read_owner_key_id(connection: Connection) -> str | None:
    """
    Return the id of the owning key, or None, within an open transaction.
    """
    key_id: str | None = connection.execute(select(claims.c.key_id)).scalar_one_or_none()
    return key_id


def _required_key_ids(connection: Connection) -> set[str]:
    found = {read_owner_key_id(connection)}
    for row_id, key_id in _KEY_IDS:
        wrapped = select(key_id).where(key_id.is_not(None)).limit(1)
        for query in (wrapped.order_by(row_id), wrapped.order_by(row_id.desc())):
            found |= set(connection.execute(query).scalars())
    return {name for name in found if name is not None}
