"""
Results of a benchmark: figures with their spread, goals, and the table that shows them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Self

import attrs

MIB = 1 << 20


@attrs.frozen
class Spread:
    """
    The minimum, the median and the maximum of several rounds.
    """

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        ordered = sorted(values)
        return cls(ordered[0], statistics.median(ordered), ordered[-1])


@attrs.frozen
class Goal:
    """
    The lower or upper bound that a figure should reach.
    """

    bound: float
    at_most: bool = False

    def is_reached(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:g}"


@attrs.frozen(kw_only=True)
class Measure:
    """
    One row: the service's figure, and, with a reference, the reference's figure and the ratio of the two.

    A goal applies to the median of the ratio if there is one, else to that of the service's figure.
    """

    name: str
    unit: str
    ours: Spread
    reference: Spread | None = None
    ratio: Spread | None = None
    goal: Goal | None = None
    note: str = ""

    @classmethod
    def of_seconds(
        cls,
        name: str,
        unit: str,
        amount: float,
        rounds: Sequence[tuple[float, float]],
        *,
        goal: Goal | None = None,
        note: str = "",
    ) -> Self:
        """
        Return rates from the seconds that service and reference took in each round for the same amount.
        """
        return cls(
            name=name,
            unit=unit,
            ours=Spread.of(amount / ours for ours, _ in rounds),
            reference=Spread.of(amount / theirs for _, theirs in rounds),
            ratio=Spread.of(theirs / ours for ours, theirs in rounds),
            goal=goal,
            note=note,
        )

    @property
    def reached(self) -> bool | None:
        """
        Whether the goal is reached; None without a goal.
        """
        return None if self.goal is None else self.goal.is_reached((self.ratio or self.ours).middle)


@attrs.frozen(kw_only=True)
class Options:
    """
    The extent of a run: rounds, size of a large file, number of small files, and largest file for memory.
    """

    rounds: int = 3
    size: int = 1024 * MIB
    files: int = 10_000
    connections: int = 16
    transfers: int = 8
    memory_sizes: tuple[int, ...] = (MIB, 64 * MIB, 1024 * MIB, 3072 * MIB)

    @property
    def warm_up(self) -> int:
        """
        The size of an unmeasured transfer.
        """
        return min(self.size, 64 * MIB)


@attrs.frozen
class Findings:
    """
    The rows of one benchmark, and its further output.
    """

    measures: Sequence[Measure]
    details: str = ""


def timed(action: Callable[[], object]) -> float:
    """
    Return the seconds that a call takes.
    """
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def alternate(rounds: int, ours: Callable[[], float], reference: Callable[[], float]) -> list[tuple[float, float]]:
    """
    Measure both in each round and return the pairs; the order alternates.
    """
    pairs = []
    for number in range(rounds):
        if number % 2:
            theirs = reference()
            pairs.append((ours(), theirs))
        else:
            pairs.append((ours(), reference()))
    return pairs


def table(measures: Sequence[Measure]) -> str:
    """
    Return all rows as text, with their notes and whether each goal is reached.
    """
    notes = list(dict.fromkeys(measure.note for measure in measures if measure.note))
    width = max([len(measure.name) for measure in measures] + [7])
    figures = f"{'ours':>9} {'reference':>9}  {'min':>6} {'median':>6} {'max':>6}"
    lines = [f"{'measure':{width}} {'unit':10} {figures}  {'goal':>7}  reached"]
    lines += [_row(measure, width, notes) for measure in measures]
    lines += ["", "ours and reference are medians; min, median and max are the ratio's or, without one, our figure's"]
    lines += [f"{number}) {note}" for number, note in enumerate(notes, 1)]
    with_goal = [measure for measure in measures if measure.goal]
    short = [measure.name for measure in with_goal if not measure.reached]
    lines += ["", f"{len(with_goal) - len(short)} of {len(with_goal)} goals reached"]
    return "\n".join(lines + [f"short of its goal: {name}" for name in short])


def _row(measure: Measure, width: int, notes: Sequence[str]) -> str:
    spread = measure.ratio or measure.ours
    reached = {None: "", True: "yes", False: "NO"}[measure.reached]
    footnote = f"{notes.index(measure.note) + 1})" if measure.note else ""
    return (
        f"{measure.name:{width}} {measure.unit:10} {_figure(measure.ours.middle):>9}"
        f" {_figure(measure.reference.middle) if measure.reference else '':>9}"
        f"  {_figure(spread.low):>6} {_figure(spread.middle):>6} {_figure(spread.high):>6}"
        f"  {measure.goal or ''!s:>7}  {reached:7} {footnote}"
    ).rstrip()


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
