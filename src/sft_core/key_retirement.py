"""
Secrets that are wrapped and then stored, while an operator may retire the key between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sft_core.errors import KeyRetired

T = TypeVar("T")


def wrapped_and_stored(act: Callable[[], T]) -> T:
    """
    Do what wraps a secret and stores it in one unit of work, once more if its key was retired meanwhile.

    `KeyRetired` comes before the commit, so nothing has been done then; and the ring knows the
    successor before a key is retired, so the second time is enough. If it is raised again, this
    service has not been told of the successor.
    """
    try:
        return act()
    except KeyRetired:
        return act()
