"""
When to stop trying one thing after the other because nothing goes well any more.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from sft_core.ports import Clock

FAILURES: Final = 3
"""How many failures in a row there are at least before it is over."""

PATIENCE: Final = timedelta(seconds=10)
"""How long they have to have taken by then."""


@attrs.define
class Patience:
    """
    With things that fail one after the other: a store that is away takes its time to say so, for each.

    What fails at once costs nothing to pass over, and may be a few things that are broken: they keep
    nobody from those behind them.
    """

    clock: Clock
    _failures: int = attrs.field(default=0, init=False)
    _since: datetime = attrs.field(init=False)

    def is_over(self) -> bool:
        """
        After one more failure.
        """
        now = self.clock.now()
        if not self._failures:
            self._since = now
        self._failures += 1
        return self._failures >= FAILURES and now - self._since >= PATIENCE

    def restore(self) -> None:
        """
        After something went well.
        """
        self._failures = 0
