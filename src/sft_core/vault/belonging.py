"""
Whose a blob store is: only the database that it belongs to may say of a blob that no row knows it.

Two services that were given one bucket or one folder by mistake, each with a database of its own,
see the other's blobs and none of the other's rows; so does one that was started on the wrong
database. Both work as long as nobody removes what has no row.
"""

from __future__ import annotations

import re
from typing import Final

from sft_core.errors import StoreOfAnother
from sft_core.ports import Begin
from sft_core.vault.ports import Marked
from sft_core.vault.upkeep_ports import SweepUnit

MARK_NAME: Final = "sft-mark"
"""Where a store keeps its mark, as a file or an object at its top: no blob and no folder of blobs is called so."""

MARK_BYTES: Final = 33
"""How many bytes that file or object has: the mark and the end of its line."""

_CONTENT: Final = re.compile(rb"([0-9a-f]{32})\n")


def content_of(mark: str) -> bytes:
    """
    What is stored under the mark's name.
    """
    return f"{mark}\n".encode("ascii")


def mark_in(content: bytes | bytearray) -> str:
    """
    The mark in what is stored under its name; empty if that is something else.
    """
    found = _CONTENT.fullmatch(content)
    return found[1].decode("ascii") if found else ""


def require_own(begin: Begin[SweepUnit], store: Marked) -> None:
    """
    Raise `StoreOfAnother` unless the store has the mark of this database.
    """
    with begin(read_only=True) as unit:
        own = unit.marked.mark()
    check_marks(own, store.mark())


def check_marks(own: str | None, found: str | None) -> None:
    """
    Raise `StoreOfAnother`, with what it means, unless the database's mark and the store's are one.
    """
    if own is None:
        raise StoreOfAnother("the database has no mark yet: the next start of the service makes one")
    if found is None:
        raise StoreOfAnother("the blob store has no mark: the next start of the service gives it this database's")
    if found != own:
        raise StoreOfAnother(
            "the blob store belongs to another database, whose sweep takes what this one stores there for nobody's "
            f"(the store's mark is {found or 'unreadable'}, this database's is {own})"
        )
