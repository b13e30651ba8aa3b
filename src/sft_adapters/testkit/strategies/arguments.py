"""
How the strategies check what they are given: at the call, and with one kind of error.
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
    `InvalidArgument` unless `low` to `high` is a range of whole numbers from `lowest` to `highest`.
    """
    for bound in (low, high):
        if type(bound) is not int:
            raise InvalidArgument(f"the bounds of {name} must be whole numbers, not {bound!r}")
    if not lowest <= low <= high <= highest:
        raise InvalidArgument(f"the bounds of {name} must be a range within {lowest} to {highest}: {low} to {high}")


def check_kind(name: str, value: object, *kinds: type) -> None:
    """
    `InvalidArgument` unless the value is one of these kinds.
    """
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise InvalidArgument(f"{name} must be {wanted}, not {value!r}")


def parsed(parse: Callable[[str], T], text: str) -> T | None:
    """
    The value that a text spells, or None if its type refuses it.
    """
    try:
        return parse(text)
    except InvalidInput:
        return None


def valid_values(
    parse: Callable[[str], T], texts: SearchStrategy[str], is_wanted: Callable[[T], bool] = lambda _: True
) -> SearchStrategy[T]:
    """
    The values that drawn texts spell, without the texts that are refused and the values that are not kept.
    """
    values = texts.map(lambda text: parsed(parse, text))
    return values.filter(lambda value: value is not None and is_wanted(value))  # type: ignore[return-value]  # none is None
