"""
Argument checks of the strategies: at the call, with one error type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from sft_core.errors import InvalidInput

T = TypeVar("T")


def check_bounds(name: str, low: int, high: int, *, lowest: int, highest: int) -> None:
    """
    Raise `InvalidArgument` unless whole numbers `low` to `high` are within `lowest` to `highest`.
    """
    for bound in (low, high):
        if type(bound) is not int:
            raise InvalidArgument(f"the bounds of {name} must be whole numbers, not {bound!r}")
    if not lowest <= low <= high <= highest:
        raise InvalidArgument(f"the bounds of {name} must be a range within {lowest} to {highest}: {low} to {high}")


def check_kind(name: str, value: object, *kinds: type) -> None:
    """
    Raise `InvalidArgument` unless the value is an instance of one of these types.
    """
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise InvalidArgument(f"{name} must be {wanted}, not {value!r}")


def parsed(parse: Callable[[str], T], text: str) -> T | None:
    """
    Return the value that a text parses to; None if its type refuses it.
    """
    try:
        return parse(text)
    except InvalidInput:
        return None


def valid_values(
    parse: Callable[[str], T], texts: SearchStrategy[str], is_wanted: Callable[[T], bool] = lambda _: True
) -> SearchStrategy[T]:
    """
    Return the values that drawn texts parse to, without invalid texts and unwanted values.
    """
    values = texts.map(lambda text: parsed(parse, text))
    return values.filter(lambda value: value is not None and is_wanted(value))  # type: ignore[return-value]  # none is None
