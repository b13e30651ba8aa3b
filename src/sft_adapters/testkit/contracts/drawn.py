"""
Hypothesis settings of the contracts: few examples, the same in each run.
"""

from __future__ import annotations

from typing import Final

from hypothesis import HealthCheck, settings

DRAWN: Final = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    # The adapters tested this way keep no state between calls, and several classes inherit one test.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
"""The settings of a contract's property tests."""
