"""
What a database holds already: asked before anything is made or opened beside it.
"""

from __future__ import annotations

from sqlalchemy import Engine, inspect, select

from sft_adapters.sql.key_ownership import claimed_by
from sft_adapters.sql.tables import claims, users
from sft_adapters.sql.transactions import transaction


def is_in_use(engine: Engine) -> bool:
    """
    Whether a service has started on it, or somebody has registered; without our schema neither has.
    """
    with transaction(engine, read_only=True) as (connection, _):
        tables = inspect(connection)
        if tables.has_table(claims.name) and claimed_by(connection) is not None:
            return True
        if not tables.has_table(users.name):
            return False
        return connection.execute(select(users.c.id).limit(1)).first() is not None
