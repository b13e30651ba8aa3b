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
    One setting: its name in the environment, how its text is parsed, its default, its unit and its description.
    """

    name: str
    read: Callable[[str], Any]
    default: Any
    unit: str
    meaning: str
    example: str = attrs.field(kw_only=True)
    former_name: str = attrs.field(kw_only=True)


def setting(
    name: str,
    read: Callable[[str], T],
    default: D,
    unit: str = "",
    *,
    example: str = "",
    former_name: str = "",
    secret: bool = False,
) -> Callable[[str], T | D]:
    """
    Declare an attribute of a group as a setting; what is returned is called with the description.

    A `secret` value is left out of representations. `former_name` is a name of the last release that
    is still accepted.
    """

    def described(meaning: str) -> T | D:
        found = Setting(name, read, default, unit, meaning, example=example, former_name=former_name)
        return cast("T | D", attrs.field(default=default, repr=not secret, metadata={_METADATA: found}))

    return described


def settings_of(group: type[attrs.AttrsInstance]) -> dict[str, Setting]:
    """
    Return the settings of a group by the attribute that holds each.
    """
    return {attribute.name: attribute.metadata[_METADATA] for attribute in attrs.fields(group)}
