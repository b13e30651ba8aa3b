"""
How long a PostgreSQL server is waited for.
"""

from __future__ import annotations

from typing import Final

import attrs

_positive: Final = attrs.validators.gt(0.0)


@attrs.frozen(kw_only=True)
class PostgresLimits:
    """
    Bounds on every wait for a PostgreSQL server; all in seconds, all positive.

    A new connection has to stand within `connect_seconds` (whole, 2 at the least), and one from the
    pool has to answer within them before it is used. The server cancels a statement after
    `statement_seconds`, and ends a transaction in which nothing happens for `idle_seconds`. A server
    that has not answered `silence_seconds` after it should have cancelled is given up, and so is one
    whose network acknowledges nothing for `peer_seconds`. No connection is used for longer than
    `recycle_seconds`, so that after a move of the server all of them follow.
    """

    connect_seconds: int = attrs.field(default=3, validator=attrs.validators.ge(2))
    statement_seconds: float = attrs.field(default=15.0, validator=_positive)
    idle_seconds: float = attrs.field(default=15.0, validator=_positive)
    silence_seconds: float = attrs.field(default=3.0, validator=_positive)
    peer_seconds: int = attrs.field(default=10, validator=attrs.validators.ge(3))
    recycle_seconds: int = attrs.field(default=1800, validator=attrs.validators.ge(1))
