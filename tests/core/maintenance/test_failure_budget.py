"""
How long failures in a row go on before it is over.
"""

from __future__ import annotations

from sft_adapters.memory.clock import SettableClock
from sft_core.maintenance.failure_budget import MIN_FAILURE_TIME, MIN_FAILURES, FailureBudget

TICK = 1e-6


def test_it_is_over_after_enough_failures_that_took_long_enough(clock: SettableClock) -> None:
    """Not after fewer, however long they took, and not after more, a microsecond sooner."""
    failure_budget = FailureBudget(clock)
    for _ in range(MIN_FAILURES - 1):
        assert not failure_budget.record_failure()
        clock.advance(hours=1)
    assert failure_budget.record_failure()
    quick = FailureBudget(clock)
    assert not any(quick.record_failure() for _ in range(9))
    clock.advance(seconds=MIN_FAILURE_TIME.total_seconds() - TICK)
    assert not quick.record_failure()
    clock.advance(seconds=TICK)
    assert quick.record_failure()


def test_what_goes_well_begins_it_anew(clock: SettableClock) -> None:
    """However many have failed before, and however long ago the first of them did."""
    failure_budget = FailureBudget(clock)
    for _ in range(9):
        assert not any(failure_budget.record_failure() for _ in range(MIN_FAILURES - 1))
        clock.advance(hours=1)
        failure_budget.record_success()
    assert not failure_budget.record_failure()
    clock.advance(seconds=MIN_FAILURE_TIME.total_seconds() - TICK)
    assert not any(failure_budget.record_failure() for _ in range(MIN_FAILURES))
