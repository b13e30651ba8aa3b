"""
Hypothesis settings of the machines: few and deterministic examples, more on demand.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import InvalidArgument

_WITHOUT_SHRINKING = tuple(phase for phase in Phase if phase is not Phase.shrink and phase is not Phase.explain)


def budget(*, examples: int, steps: int, shrink: bool = True) -> settings:
    """
    Return settings for `examples` runs of at most `steps` steps.

    They draw the same examples in each test run. In the environment, `SFT_HARNESS_EXAMPLES`, a whole number of
    at least 1, multiplies the examples, and `SFT_HARNESS_EXPLORE=1` draws new ones in each test run. Without
    `shrink` the first failure is reported as it was found, which is faster.

    Raises:
        InvalidArgument: `examples`, `steps` or `SFT_HARNESS_EXAMPLES` is not a whole number of at least 1.
    """
    for name, value in (("examples", examples), ("steps", steps)):
        if type(value) is not int or value < 1:
            raise InvalidArgument(f"{name} must be a whole number of at least 1, not {value!r}")
    times = os.environ.get("SFT_HARNESS_EXAMPLES", "1")
    if not times.isascii() or not times.isdigit() or int(times) < 1:
        raise InvalidArgument(f"SFT_HARNESS_EXAMPLES must be a whole number of at least 1, not {times!r}")
    return settings(
        max_examples=examples * int(times),
        stateful_step_count=steps,
        deadline=None,
        derandomize=os.environ.get("SFT_HARNESS_EXPLORE") != "1",
        database=None,
        phases=tuple(Phase) if shrink else _WITHOUT_SHRINKING,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
