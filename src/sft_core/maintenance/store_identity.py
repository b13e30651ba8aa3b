"""
Store identity: which database a blob store belongs to.

Only that database may decide that one of the store's blobs is an orphan. Two services that share a bucket or directory
by mistake, each with its own database, see each other's blobs and none of each other's rows; so does a service started
on the wrong database. Both work until one of them deletes the blobs that have no row.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from sft_core.errors import StoreMismatch
from sft_core.maintenance.ports import MaintenanceUnit
from sft_core.ports import UnitOfWorkFactory
from sft_core.vault.model import file_id_of_blob
from sft_core.vault.ports import BlobStore, StoreIdentity

STORE_ID_NAME: Final = "sft-mark"
"""The name of the file or object at a store's top that contains its id; no blob or folder of blobs has it."""

STORE_ID_BYTES: Final = 33
"""The size of that file or object in bytes: the id and a line feed."""

_LOOKED_AT: Final = 100

_CONTENT: Final = re.compile(rb"([0-9a-f]{32})\n")


def encode_store_id(store_id: str) -> bytes:
    """
    Return the bytes to store for an id.
    """
    return f"{store_id}\n".encode("ascii")


def decode_store_id(content: bytes | bytearray) -> str:
    """
    Return the id in stored bytes; "" if they are not an id.
    """
    found = _CONTENT.fullmatch(content)
    return found[1].decode("ascii") if found else ""


def require_same_store(begin: UnitOfWorkFactory[MaintenanceUnit], store: StoreIdentity) -> None:
    """
    Raise `StoreMismatch` unless the store has the id of this database.
    """
    with begin(read_only=True) as unit:
        own = unit.store_identity.store_id()
    check_store_ids(own, store.store_id())


def reject_database_copy(begin: UnitOfWorkFactory[MaintenanceUnit], store: StoreIdentity) -> None:
    """
    Raise `StoreMismatch` if only the store has an id.

    The database may be an old copy: what expired or was aborted in it may be a live file, by its id, in the other.
    """
    with begin(read_only=True) as unit:
        own = unit.store_identity.store_id()
    if own is None and store.store_id() is not None:
        raise StoreMismatch("the blob store has an id and the database has none: it may be an old copy of another")


def require_known_blobs(begin: UnitOfWorkFactory[MaintenanceUnit], store: BlobStore) -> None:
    """
    Raise `StoreMismatch` unless one of the first hundred blobs, if any, has a row.
    """
    keys = [blob.key for blob in islice(store.list(), _LOOKED_AT) if file_id_of_blob(blob.key) is not None]
    named = {file_id for file_id in map(file_id_of_blob, keys) if file_id is not None}
    with begin(read_only=True) as unit:
        if keys and not unit.reclaimable.referenced_keys(keys) and not any(map(unit.files.get, named)):
            raise StoreMismatch("the blob store has no id and contains parts, of which this database has none")


def check_store_ids(own: str | None, found: str | None) -> None:
    """
    Raise `StoreMismatch`, with the cause, unless the ids of database and store are equal.
    """
    if own is None:
        raise StoreMismatch("the database has no id yet: the next start of the service creates one")
    if found is None:
        raise StoreMismatch("the blob store has no id: the next start of the service gives it this database's")
    if found != own:
        raise StoreMismatch(
            "the blob store belongs to another database, whose sweep deletes the blobs of this one as orphans "
            f"(the store's id is {found or 'unreadable'}, this database's is {own})"
        )
