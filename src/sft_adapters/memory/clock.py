"""
A clock that does not advance by itself, for examples and tests.
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
        Advance (or set back) the clock by the keywords of a `timedelta`: `clock.advance(hours=2)`.
        """
        self._now += timedelta(**duration)
