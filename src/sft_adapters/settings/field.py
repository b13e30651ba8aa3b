"""
The metadata of one setting, carried by the attribute that holds its value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import attrs

T = TypeVar("T")
D = TypeVar("D")

_METADATA: Final = "setting"


@attrs.frozen
class Setting:
    """
    A setting: its environment variable, the parser of its text, its default and its unit.

    `former_name` is a name of the last release that is still accepted.
    """

    name: str
    read: Callable[[str], Any]
    default: Any
    unit: str
    example: str
    former_name: str


def setting(
    name: str,
    read: Callable[[str], T],
    default: D,
    unit: str = "",
    *,
    example: str = "",
    former_name: str = "",
    secret: bool = False,
) -> T | D:
    """
    Declare a group's attribute as a setting; a `secret` is left out of representations.
    """
    metadata = {_METADATA: Setting(name, read, default, unit, example, former_name)}
    return cast("T | D", attrs.field(default=default, repr=not secret, metadata=metadata))


def settings_of(group: type[attrs.AttrsInstance]) -> dict[str, Setting]:
    """
    Return the settings of a group by the attribute that holds each.
    """
    return {attribute.name: attribute.metadata[_METADATA] for attribute in attrs.fields(group)}
