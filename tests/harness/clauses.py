"""
Running a contract against one adapter, clause by clause, to see which of them it breaks.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import pytest

Fixtures = Callable[[], Mapping[str, object]]


def clauses_of(contract: type) -> list[str]:
    """
    The names of a contract's tests.
    """
    return [name for name, _ in inspect.getmembers(contract, inspect.isfunction) if name.startswith("test_")]


def broken_clauses(contract: type, fixtures: Fixtures, *, but: Collection[str] = ()) -> set[str]:
    """
    The names of the tests that fail, each of their cases on fixtures of its own; those in `but` are not run.
    """
    return {
        name
        for name in set(clauses_of(contract)).difference(but)
        if any(_fails(contract, name, fixtures, case) for case in cases(contract, name))
    }


def _fails(contract: type, name: str, fixtures: Fixtures, case: Mapping[str, object]) -> bool:
    test = getattr(contract(), name)
    wanted = set(inspect.signature(test).parameters) - set(case)
    given = {fixture: value for fixture, value in fixtures().items() if fixture in wanted}
    try:
        test(**given, **case)
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 (however it fails)
        return True
    return False


def cases(contract: type, name: str) -> Iterator[dict[str, Any]]:
    """
    What `parametrize` gives a test: every combination of its marks.
    """
    marks = [mark for mark in getattr(getattr(contract, name), "pytestmark", []) if mark.name == "parametrize"]
    for combination in itertools.product(*(list(_values(*mark.args)) for mark in marks)):
        yield {key: value for case in combination for key, value in case.items()}


def _values(names: str | tuple[str, ...], values: Any) -> Iterator[dict[str, Any]]:
    for value in values:
        yield {names: value} if isinstance(names, str) else dict(zip(names, value, strict=True))
