"""
Whose a blob store is: only the database that it belongs to may say of a blob that no row knows it.

Two services that were given one bucket or one folder by mistake, each with a database of its own,
see the other's blobs and none of the other's rows; so does one that was started on the wrong
database. Both work as long as nobody removes what has no row.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from sft_core.errors import StoreOfAnother
from sft_core.maintenance.ports import SweepUnit
from sft_core.ports import Begin
from sft_core.vault.model import file_of
from sft_core.vault.ports import BlobStore, Marked

MARK_NAME: Final = "sft-mark"
"""Where a store keeps its mark, as a file or an object at its top: no blob and no folder of blobs is called so."""

MARK_BYTES: Final = 33
"""How many bytes that file or object has: the mark and the end of its line."""

_LOOKED_AT: Final = 100

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


def require_no_copy(begin: Begin[SweepUnit], store: Marked) -> None:
    """
    Raise `StoreOfAnother` if the store has a mark and the database has none.

    It may be an old copy of the database that the store belongs to: what it takes for over, that
    one may have files of, by the same ids.
    """
    with begin(read_only=True) as unit:
        own = unit.marked.mark()
    if own is None and store.mark() is not None:
        raise StoreOfAnother("the blob store has a mark and the database has none: it may be an old copy of another")


def require_known_blobs(begin: Begin[SweepUnit], store: BlobStore) -> None:
    """
    Raise `StoreOfAnother` if the store holds blobs, and of the first hundred the database knows none.
    """
    keys = [blob.key for blob in islice(store.list(), _LOOKED_AT) if file_of(blob.key) is not None]
    named = {file_id for file_id in map(file_of, keys) if file_id is not None}
    with begin(read_only=True) as unit:
        if keys and not unit.leftovers.recorded(keys) and not any(map(unit.files.get, named)):
            raise StoreOfAnother("the blob store has no mark, and holds parts of which this database knows none")


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
