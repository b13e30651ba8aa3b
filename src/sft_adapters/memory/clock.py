"""
A clock that stands still until it is set: for examples and tests that need to know the time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs


@attrs.define
class SettableClock:
    """
    Implements `sft_core.ports.Clock`.
    """

    _now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, **duration: float) -> None:
        """
        Move on (or back) by a `timedelta` given by its keywords: `clock.advance(hours=2)`.
        """
        self._now += timedelta(**duration)
