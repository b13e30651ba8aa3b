"""
Wrapping and storing a secret although an operator may retire the key in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sft_core.errors import KeyRetired

T = TypeVar("T")


def retry_if_key_retired(operation: Callable[[], T]) -> T:
    """
    Wrap and store a secret by `operation`; repeat it if the key was retired.

    `operation` must wrap and store in one unit of work, and must be repeatable. `KeyRetired` is raised before the
    commit, so the first call stored nothing. A key is retired only after the ring has a successor, which the second
    call uses; a second `KeyRetired` means that this process has not loaded the successor.
    """
    try:
        return operation()
    except KeyRetired:
        return operation()
