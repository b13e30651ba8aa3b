"""
A rate limiter in SQL: a key's row states when all attempts are restored.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs
from sqlalchemy import BigInteger, Engine, bindparam, delete, select, text

from sft_adapters.sql.tables import UtcMicroseconds, throttles
from sft_adapters.sql.transactions import committing
from sft_core.errors import TooManyAttempts
from sft_core.values import Rate

_MICROSECOND: Final = timedelta(microseconds=1)

# One statement decides, in the SQL of both databases. A second caller waits for the row's lock and
# then finds the first one's value.
_ACQUIRE: Final = text(
    "INSERT INTO throttles (key, comes_back) VALUES (:key, :first)"
    " ON CONFLICT (key) DO UPDATE SET comes_back ="
    " CASE WHEN throttles.comes_back > :now THEN throttles.comes_back ELSE :now END + :interval"
    " WHERE throttles.comes_back <= :latest"
    " RETURNING comes_back",
).bindparams(
    bindparam("first", type_=UtcMicroseconds),
    bindparam("now", type_=UtcMicroseconds),
    bindparam("latest", type_=UtcMicroseconds),
    bindparam("interval", type_=BigInteger),
)


@attrs.frozen
class SqlRateLimiter:
    """
    Implements `sft_core.ports.RateLimiter`; each call is a short transaction.
    """

    engine: Engine

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        attempt = {
            "key": key,
            "first": now + rate.interval,
            "now": now,
            "latest": now + rate.tolerance,
            "interval": rate.interval // _MICROSECOND,
        }
        with committing(self.engine) as connection:
            if connection.execute(_ACQUIRE, attempt).first() is None:
                query = select(throttles.c.comes_back).where(throttles.c.key == key)
                raise TooManyAttempts(rate.retry_after(connection.execute(query).scalar_one(), now))

    def reset(self, key: str) -> None:
        with committing(self.engine) as connection:
            connection.execute(delete(throttles).where(throttles.c.key == key))
