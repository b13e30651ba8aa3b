"""
What one setting is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs


@attrs.frozen
class Setting:
    """
    One setting: its name, how its text is read, its default, its unit and what it is for.
    """

    name: str
    read: Callable[[str], Any]
    default: Any
    meaning: str
    unit: str = ""
    example: str = ""

    @property
    def field(self) -> str:
        """
        The attribute of `Settings` that holds it.
        """
        return self.name.lower()
