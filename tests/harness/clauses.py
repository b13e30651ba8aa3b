"""
Run a contract against one adapter, test by test, and report which tests fail.
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
    Return the names of a contract's tests.
    """
    return [name for name, _ in inspect.getmembers(contract, inspect.isfunction) if name.startswith("test_")]


def broken_clauses(contract: type, fixtures: Fixtures, *, but: Collection[str] = ()) -> set[str]:
    """
    Return the names of the tests that fail; those in `but` are not run.

    Each case of each test runs on new fixtures.
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
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 (any exception is a failure)
        return True
    return False


def cases(contract: type, name: str) -> Iterator[dict[str, Any]]:
    """
    Return the arguments of each case of a parametrized test: every combination of its marks.
    """
    marks = [mark for mark in getattr(getattr(contract, name), "pytestmark", []) if mark.name == "parametrize"]
    for combination in itertools.product(*(list(_values(*mark.args)) for mark in marks)):
        yield {key: value for case in combination for key, value in case.items()}


def _values(names: str | tuple[str, ...], values: Any) -> Iterator[dict[str, Any]]:
    for value in values:
        yield {names: value} if isinstance(names, str) else dict(zip(names, value, strict=True))
