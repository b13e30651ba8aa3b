"""
The committed rows of the database in memory, for inspection.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from sft_adapters.memory.tables import Tables
from sft_core.sharing.idempotency import IdempotencyRecord
from sft_core.sharing.model import ShareLink
from sft_core.users.model import User
from sft_core.values import FileId, LinkId, UserId
from sft_core.vault.model import File, Part, ResumableUpload


@attrs.frozen
class Snapshot:
    """
    The rows of every table at one moment, read-only; later commits do not change it.
    """

    users: Mapping[UserId, User]
    files: Mapping[FileId, File]
    parts: Mapping[FileId, tuple[Part, ...]]
    uploads: Mapping[FileId, ResumableUpload]
    links: Mapping[LinkId, ShareLink]
    idempotency_records: Mapping[bytes, IdempotencyRecord]
    reservations: Mapping[FileId, int]
    usages: Mapping[UserId, int]
    retired_keys: frozenset[str]
    store_id: str | None


def snapshot_of(tables: Tables) -> Snapshot:
    """
    Copy all tables into a snapshot.
    """
    copies = attrs.asdict(tables.copy(), recurse=False).items()
    rows = {name: MappingProxyType(table) for name, table in copies if isinstance(table, dict)}
    return Snapshot(**rows, retired_keys=frozenset(tables.retired_keys), store_id=tables.store_id)
