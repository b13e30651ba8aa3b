"""
A failure budget: stop a batch when consecutive items keep failing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from sft_core.ports import Clock

MIN_FAILURES: Final = 3
MIN_FAILURE_TIME: Final = timedelta(seconds=10)


@attrs.define
class FailureBudget:
    """
    Count consecutive failures, and report when the batch should stop.

    It is exhausted by at least three failures in a row that span at least ten seconds. An unavailable store takes its
    timeout for each item, so the batch stops soon. Fast failures cost little and may be a few damaged items, so they do
    not keep the batch from the items behind them.
    """

    clock: Clock
    _failures: int = attrs.field(default=0, init=False)
    _since: datetime = attrs.field(init=False)

    def record_failure(self) -> bool:
        """
        Record one more failure, and return whether the budget is exhausted.
        """
        now = self.clock.now()
        if not self._failures:
            self._since = now
        self._failures += 1
        return self._failures >= MIN_FAILURES and now - self._since >= MIN_FAILURE_TIME

    def record_success(self) -> None:
        self._failures = 0
