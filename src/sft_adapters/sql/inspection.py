"""
Inspect a database before anything is created in it.
"""

from __future__ import annotations

from sqlalchemy import Engine, inspect, select

from sft_adapters.sql.key_ownership import read_owner_key_id
from sft_adapters.sql.tables import claims, users
from sft_adapters.sql.transactions import transaction


def is_in_use(engine: Engine) -> bool:
    """
    Return whether a service has started on the database or a user is registered.
    """
    with transaction(engine, read_only=True) as (connection, _):
        tables = inspect(connection)
        if tables.has_table(claims.name) and read_owner_key_id(connection) is not None:
            return True
        if not tables.has_table(users.name):
            return False
        return connection.execute(select(users.c.id).limit(1)).first() is not None
