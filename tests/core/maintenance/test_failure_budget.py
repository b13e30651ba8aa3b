"""
How many failures in a row, over what time, exhaust a failure budget.
"""

from __future__ import annotations

from sft_adapters.memory.clock import SettableClock
from sft_core.maintenance.failure_budget import MIN_FAILURE_TIME, MIN_FAILURES, FailureBudget

TICK = 1e-6


def test_budget_is_exhausted_after_enough_slow_failures(clock: SettableClock) -> None:
    """Fewer failures never exhaust it, and more do not either until the minimum time has passed."""
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


def test_success_resets_the_budget(clock: SettableClock) -> None:
    """One success resets the count and the time, however many failures preceded it."""
    failure_budget = FailureBudget(clock)
    for _ in range(9):
        assert not any(failure_budget.record_failure() for _ in range(MIN_FAILURES - 1))
        clock.advance(hours=1)
        failure_budget.record_success()
    assert not failure_budget.record_failure()
    clock.advance(seconds=MIN_FAILURE_TIME.total_seconds() - TICK)
    assert not any(failure_budget.record_failure() for _ in range(MIN_FAILURES))
