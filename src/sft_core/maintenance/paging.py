"""
Read long listings in pages, each in a unit of work of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from sft_core.ports import UnitOfWork, UnitOfWorkFactory

Unit = TypeVar("Unit", bound=UnitOfWork)
Row = TypeVar("Row")

PAGE: Final = 256
"""The number of rows read at once."""


def paged(begin: UnitOfWorkFactory[Unit], page_after: Callable[[Unit, Row | None], Sequence[Row]]) -> Iterator[Row]:
    """
    Yield every row of a listing; `page_after` reads the page after a row or None.
    """
    last: Row | None = None
    while True:
        with begin(read_only=True) as unit:
            page = page_after(unit, last)
        yield from page
        if not page:
            return
        last = page[-1]
