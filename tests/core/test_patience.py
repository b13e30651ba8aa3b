"""
How long failures in a row go on before it is over.
"""

from __future__ import annotations

from sft_adapters.memory.clock import SettableClock
from sft_core.maintenance.failure_budget import FAILURES, PATIENCE, Patience

TICK = 1e-6


def test_it_is_over_after_enough_failures_that_took_long_enough(clock: SettableClock) -> None:
    """Not after fewer, however long they took, and not after more, a microsecond sooner."""
    patience = Patience(clock)
    for _ in range(FAILURES - 1):
        assert not patience.is_over()
        clock.advance(hours=1)
    assert patience.is_over()
    quick = Patience(clock)
    assert not any(quick.is_over() for _ in range(9))
    clock.advance(seconds=PATIENCE.total_seconds() - TICK)
    assert not quick.is_over()
    clock.advance(seconds=TICK)
    assert quick.is_over()


def test_what_goes_well_begins_it_anew(clock: SettableClock) -> None:
    """However many have failed before, and however long ago the first of them did."""
    patience = Patience(clock)
    for _ in range(9):
        assert not any(patience.is_over() for _ in range(FAILURES - 1))
        clock.advance(hours=1)
        patience.restore()
    assert not patience.is_over()
    clock.advance(seconds=PATIENCE.total_seconds() - TICK)
    assert not any(patience.is_over() for _ in range(FAILURES))
