"""
How much a machine tries: little and always the same by default, more and other things on demand.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import InvalidArgument

_WITHOUT_SHRINKING = tuple(phase for phase in Phase if phase is not Phase.shrink and phase is not Phase.explain)


def budget(*, examples: int, steps: int, shrink: bool = True) -> settings:
    """
    Settings for `examples` runs of at most `steps` steps, the same ones each time.

    `SFT_HARNESS_EXAMPLES` in the environment, a whole number, multiplies the examples;
    `SFT_HARNESS_EXPLORE=1` draws new ones each time. Without `shrink` the first failure is told as
    it was found, which is quicker.
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
