"""
Leases in SQL: the holder and the expiry of each.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs
from sqlalchemy import Engine, bindparam, delete, text

from sft_adapters.sql.tables import UtcMicroseconds, leases
from sft_adapters.sql.transactions import committing

# One statement decides, in the SQL of both databases. A second caller waits for the row's lock and
# then finds the first one as its holder.
_TAKE: Final = text(
    "INSERT INTO leases (name, holder, until) VALUES (:name, :holder, :until)"
    " ON CONFLICT (name) DO UPDATE SET holder = :holder, until = :until"
    " WHERE leases.holder = :holder OR leases.until <= :now"
    " RETURNING name",
).bindparams(bindparam("now", type_=UtcMicroseconds), bindparam("until", type_=UtcMicroseconds))


@attrs.frozen
class SqlLeases:
    """
    Implements `sft_core.ports.Leases`; each call is a short transaction.
    """

    engine: Engine

    def acquire(self, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
        parameters = {"name": name, "holder": holder, "now": now, "until": until}
        with committing(self.engine) as connection:
            return connection.execute(_TAKE, parameters).first() is not None

    def release(self, name: str, *, holder: str) -> None:
        own = (leases.c.name == name) & (leases.c.holder == holder)
        with committing(self.engine) as connection:
            connection.execute(delete(leases).where(own))
