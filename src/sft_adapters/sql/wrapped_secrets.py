"""
The wrapped secrets of all tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import attrs
from sqlalchemy import Column, Connection, Engine, Table, func, select, update

from sft_adapters.sql import key_ownership, retired_keys
from sft_adapters.sql.tables import files, links, users
from sft_adapters.sql.transactions import transaction
from sft_core.keys.model import SecretKind, StoredSecret
from sft_core.keys.ports import Rewrapping
from sft_core.values import WrappedSecret

_LOCK_SECONDS: Final = 2.0
"""The time in seconds that a retirement waits for storing transactions while others wait behind it."""


@attrs.frozen
class _Place:
    """
    The table and columns of one kind of secret.
    """

    table: Table
    key_id: Column[Any]
    wrapped: Column[Any]


PLACES: Final = {
    SecretKind.FILE_KEY: _Place(files, files.c.key_id, files.c.wrapped_key),
    SecretKind.LINK_TOKEN: _Place(links, links.c.token_key_id, links.c.wrapped_token),
    SecretKind.TOTP_SEED: _Place(users, users.c.totp_key_id, users.c.totp_seed),
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
            return {kind: _counted(connection, place) for kind, place in PLACES.items()}

    def under(self, key_id: str, kind: SecretKind, *, after: UUID | None, limit: int) -> Sequence[StoredSecret]:
        place = PLACES[kind]
        row = place.table.c
        version = row.version if kind is SecretKind.FILE_KEY else None
        columns = [row.id, place.wrapped.label("wrapped"), *([version.label("version")] if version is not None else [])]
        query = select(*columns).where(place.key_id == key_id).order_by(row.id).limit(limit)
        if after is not None:
            query = query.where(row.id > after.bytes)
        with transaction(self.engine, read_only=True, seconds=self.seconds) as (connection, _):
            return [
                StoredSecret(
                    kind=kind,
                    id=UUID(bytes=found.id),
                    version=found.version if version is not None else 1,
                    wrapped=WrappedSecret(key_id, found.wrapped),
                )
                for found in connection.execute(query)
            ]

    def replace(self, rewrappings: Sequence[Rewrapping]) -> int:
        with transaction(self.engine) as (connection, begun):
            for one in {one.new.key_id: one.new for one in rewrappings}.values():
                retired_keys.admit(connection, one)
            free = _unlocked(connection, rewrappings)
            replaced = sum(_replace(connection, one) for one in rewrappings if (one.stored.kind, one.stored.id) in free)
            begun.commit()
        return replaced

    def retire(self, key_id: str) -> bool:
        while True:
            # Storing transactions wait behind this one, so its own wait is short.
            with transaction(self.engine, seconds=_LOCK_SECONDS) as (connection, begun):
                attempt = retired_keys.begin(connection, key_id)
                begun.commit()
            # A long scan for which no transaction waits: a secret that is not visible now cannot be added.
            is_needed = any(key_id in keys for keys in self.count().values())
            with transaction(self.engine) as (connection, begun):
                # A service may have started in the meantime with this key as its active key.
                is_needed = is_needed or key_ownership.claimed_by(connection) == key_id
                if is_needed:
                    retired_keys.give_up(connection, key_id, attempt)
                is_settled = not is_needed and retired_keys.settle(connection, key_id, attempt)
                begun.commit()
            if is_needed or is_settled:
                return is_settled


def _counted(connection: Connection, place: _Place) -> Mapping[str, int]:
    query = select(place.key_id, func.count()).where(place.key_id.is_not(None)).group_by(place.key_id)
    return {str(key_id): int(number) for key_id, number in connection.execute(query)}


def _unlocked(connection: Connection, rewrappings: Sequence[Rewrapping]) -> set[tuple[SecretKind, UUID]]:
    """
    Lock the rows that no other transaction is changing, until the end of this one.

    Return their kinds and ids. On SQLite, which has one writer at a time, these are all rows.
    """
    free = set()
    for kind, place in PLACES.items():
        wanted = [one.stored.id.bytes for one in rewrappings if one.stored.kind is kind]
        if wanted:
            query = select(place.table.c.id).where(place.table.c.id.in_(wanted))
            # No stronger than the update's own lock: a new link may refer to the row in the meantime.
            rows = connection.execute(query.with_for_update(skip_locked=True, key_share=True))
            free |= {(kind, UUID(bytes=row.id)) for row in rows}
    return free


def _replace(connection: Connection, rewrapping: Rewrapping) -> bool:
    read, anew = rewrapping.stored, rewrapping.new
    place = PLACES[read.kind]
    change: dict[str, Any] = {place.key_id.name: anew.key_id, place.wrapped.name: anew.ciphertext}
    if read.kind is SecretKind.TOTP_SEED:
        change["revision"] = users.c.revision + 1
    unchanged = (
        (place.table.c.id == read.id.bytes)
        & (place.key_id == read.wrapped.key_id)
        & (place.wrapped == read.wrapped.ciphertext)
    )
    return connection.execute(update(place.table).where(unchanged).values(change)).rowcount == 1
