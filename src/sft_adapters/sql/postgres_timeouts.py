"""
Timeouts for a PostgreSQL server.
"""

from __future__ import annotations

from typing import Final

import attrs

_positive: Final = attrs.validators.gt(0.0)


@attrs.frozen(kw_only=True)
class PostgresTimeouts:
    """
    Bounds on every wait for a PostgreSQL server, in seconds and positive.

    A new connection must be established within `connect_seconds` (an integer, at least 2), and a
    pooled connection must respond to a check within them before its use. The server cancels a
    statement after `statement_seconds` and closes a transaction that is idle for `idle_seconds`. A
    connection is closed if the server does not respond for another `response_grace_seconds` after it should
    have cancelled, or if the network acknowledges nothing for `tcp_timeout_seconds`. No connection is used for
    longer than `recycle_seconds`, so that every connection follows a move of the server.
    """

    connect_seconds: int = attrs.field(default=3, validator=attrs.validators.ge(2))
    statement_seconds: float = attrs.field(default=15.0, validator=_positive)
    idle_seconds: float = attrs.field(default=15.0, validator=_positive)
    response_grace_seconds: float = attrs.field(default=3.0, validator=_positive)
    tcp_timeout_seconds: int = attrs.field(default=10, validator=attrs.validators.ge(3))
    recycle_seconds: int = attrs.field(default=1800, validator=attrs.validators.ge(1))
