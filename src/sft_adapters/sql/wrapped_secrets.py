"""
The wrapped secrets of all tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import attrs
from sqlalchemy import Column, ColumnElement, Connection, Engine, Table, func, literal, select, true, update

from sft_adapters.sql import key_ownership, retired_keys
from sft_adapters.sql.tables import files, links, users
from sft_adapters.sql.transactions import committing, transaction
from sft_core.keys.model import SecretKind, StoredSecret
from sft_core.keys.ports import Rewrapping
from sft_core.values import WrappedSecret

_LOCK_SECONDS: Final = 2.0
"""The time in seconds that a retirement waits for storing transactions while others wait behind it."""


@attrs.frozen
class _SecretColumns:
    table: Table
    key_id: Column[Any]
    wrapped: Column[Any]
    version: ColumnElement[int] = attrs.field(factory=lambda: literal(1))


SECRET_COLUMNS: Final = {
    SecretKind.FILE_KEY: _SecretColumns(files, files.c.key_id, files.c.wrapped_key, files.c.version),
    SecretKind.LINK_TOKEN: _SecretColumns(links, links.c.token_key_id, links.c.wrapped_token),
    SecretKind.TOTP_SEED: _SecretColumns(users, users.c.totp_key_id, users.c.totp_seed),
}


@attrs.frozen
class SqlWrappedSecrets:
    """
    Implements `sft_core.keys.ports.WrappedSecrets`.

    There is no index on key ids, so a search scans the table, with `seconds` as its timeout. A change
    locks few rows at a time and waits for none: on PostgreSQL it skips rows that another transaction has
    locked, so it delays no transaction for long and cannot deadlock.
    """

    engine: Engine
    seconds: float | None = None

    def count(self) -> Mapping[SecretKind, Mapping[str, int]]:
        with transaction(self.engine, read_only=True, seconds=self.seconds) as (connection, _):
            return {kind: _count_by_key(connection, location) for kind, location in SECRET_COLUMNS.items()}

    def under(self, key_id: str, kind: SecretKind, *, after: UUID | None, limit: int) -> Sequence[StoredSecret]:
        location = SECRET_COLUMNS[kind]
        row_id = location.table.c.id
        later = row_id > after.bytes if after is not None else true()
        query = select(row_id, location.version, location.wrapped).where(location.key_id == key_id, later)
        with transaction(self.engine, read_only=True, seconds=self.seconds) as (connection, _):
            return [
                StoredSecret(kind=kind, id=UUID(bytes=found), version=version, wrapped=WrappedSecret(key_id, wrapped))
                for found, version, wrapped in connection.execute(query.order_by(row_id).limit(limit))
            ]

    def replace(self, rewrappings: Sequence[Rewrapping]) -> int:
        with committing(self.engine) as connection:
            for one in {one.new.key_id: one.new for one in rewrappings}.values():
                retired_keys.require_usable_key(connection, one)
            locked = _lock_available_rows(connection, rewrappings)
            available = [one for one in rewrappings if (one.stored.kind, one.stored.id) in locked]
            return sum(_replace(connection, one) for one in available)

    def retire(self, key_id: str) -> bool:
        while True:
            # Storing transactions wait behind this one, so its own wait is short.
            with committing(self.engine, seconds=_LOCK_SECONDS) as connection:
                attempt = retired_keys.start_retirement(connection, key_id)
            # A long scan for which no transaction waits: a secret that is not visible now cannot be added.
            is_in_use = any(key_id in keys for keys in self.count().values())
            with committing(self.engine) as connection:
                # A service may have started in the meantime with this key as its active key.
                is_in_use = is_in_use or key_ownership.read_owner_key_id(connection) == key_id
                if is_in_use:
                    retired_keys.cancel_retirement(connection, key_id, attempt)
                is_confirmed = not is_in_use and retired_keys.confirm_retirement(connection, key_id, attempt)
            if is_in_use or is_confirmed:
                return is_confirmed


def _count_by_key(connection: Connection, location: _SecretColumns) -> Mapping[str, int]:
    query = select(location.key_id, func.count()).where(location.key_id.is_not(None)).group_by(location.key_id)
    return {str(key_id): int(number) for key_id, number in connection.execute(query)}


def _lock_available_rows(connection: Connection, rewrappings: Sequence[Rewrapping]) -> set[tuple[SecretKind, UUID]]:
    # Until the end of this transaction, the rows that no other one is changing: all on SQLite, which has one writer.
    locked = set()
    for kind, location in SECRET_COLUMNS.items():
        wanted = [one.stored.id.bytes for one in rewrappings if one.stored.kind is kind]
        if wanted:
            query = select(location.table.c.id).where(location.table.c.id.in_(wanted))
            # No stronger than the update's own lock: a new link may refer to the row in the meantime.
            rows = connection.execute(query.with_for_update(skip_locked=True, key_share=True))
            locked |= {(kind, UUID(bytes=row.id)) for row in rows}
    return locked


def _replace(connection: Connection, rewrapping: Rewrapping) -> bool:
    read, rewrapped = rewrapping.stored, rewrapping.new
    location = SECRET_COLUMNS[read.kind]
    change: dict[str, Any] = {location.key_id.name: rewrapped.key_id, location.wrapped.name: rewrapped.ciphertext}
    if read.kind is SecretKind.TOTP_SEED:
        change["revision"] = users.c.revision + 1
    unchanged = (
        (location.table.c.id == read.id.bytes)
        & (location.key_id == read.wrapped.key_id)
        & (location.wrapped == read.wrapped.ciphertext)
    )
    return connection.execute(update(location.table).where(unchanged).values(change)).rowcount == 1
