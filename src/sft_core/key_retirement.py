"""
Wrapping and storing a secret while an operator may retire the key between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sft_core.errors import KeyRetired

T = TypeVar("T")


def retry_if_key_retired(operation: Callable[[], T]) -> T:
    """
    Wrap and store a secret by calling `operation`, twice if its key is retired meanwhile.

    `operation` does both in one unit of work. `KeyRetired` precedes the commit, so the first attempt stored nothing. A
    key is retired only after the ring has a successor, so the second attempt uses it; `KeyRetired` from there means
    that this service has not loaded the successor.
    """
    try:
        return operation()
    except KeyRetired:
        return operation()
