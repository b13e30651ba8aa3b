"""
Re-wrapping of secrets while other transactions use the same rows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import attrs
from sqlalchemy import Engine, select

from sft_adapters.sql import key_ownership, retired_keys
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.tables import files
from sft_adapters.sql.transactions import transaction
from sft_adapters.sql.wrapped_secrets import SqlWrappedSecrets
from sft_adapters.testkit.contracts.examples import a_link, stored_file
from sft_core.keys.model import SecretKind
from sft_core.keys.ports import Rewrapping
from sft_core.values import WrappedSecret


def test_locked_rows_are_skipped(postgres_engine: Engine) -> None:
    """PostgreSQL: locked rows are skipped without waiting, so no deadlock can occur; the others are changed."""
    database, wrapped = SqlDatabase(postgres_engine), SqlWrappedSecrets(postgres_engine)
    busy = stored_file(database)
    stored_file(database)
    found = wrapped.under("key-1", SecretKind.FILE_KEY, after=None, limit=10)
    rewrapped = [Rewrapping(read, WrappedSecret("key-2", os.urandom(40))) for read in found]
    with transaction(postgres_engine) as (connection, _):
        connection.execute(select(files.c.id).where(files.c.id == busy.id.bytes).with_for_update())
        assert wrapped.replace(rewrapped) == 1
    assert [one.id for one in wrapped.under("key-1", SecretKind.FILE_KEY, after=None, limit=10)] == [busy.id.value]
    assert wrapped.replace(rewrapped) == 1


def test_new_link_does_not_wait_for_rewrapping(postgres_engine: Engine) -> None:
    """PostgreSQL: a row that references a row under re-wrapping can be added, and the other way round."""
    database, wrapped = SqlDatabase(postgres_engine), SqlWrappedSecrets(postgres_engine)
    file = stored_file(database)
    (read,) = wrapped.under("key-1", SecretKind.FILE_KEY, after=None, limit=10)
    with database() as unit:
        unit.links.add(a_link(file))
        assert wrapped.replace([Rewrapping(read, WrappedSecret("key-2", os.urandom(40)))]) == 1
        unit.commit()
    assert dict(wrapped.count()[SecretKind.LINK_TOKEN]) == {"key-1": 1}


@attrs.frozen
class ConcurrentStart(SqlWrappedSecrets):
    """
    During the count of keys in use, a service starts with the key as its active one.
    """

    key_id: str = attrs.field(kw_only=True)

    def count(self) -> Mapping[SecretKind, Mapping[str, int]]:
        if key_ownership.owner_key_id(self.engine) != self.key_id:
            with transaction(self.engine) as (connection, begun):
                key_ownership.ownership_step(self.key_id, verify=lambda _needed: None)(connection)
                begun.commit()
        return super().count()


def test_key_of_a_starting_service_is_not_retired(engine: Engine) -> None:
    """Otherwise the storage would belong to a key outside the ring, and no service could start."""
    late = WrappedSecret("old", bytes(40))
    assert not ConcurrentStart(engine, key_id="old").retire("old")
    assert key_ownership.owner_key_id(engine) == "old"
    with transaction(engine) as (connection, _):
        retired_keys.require_usable_key(connection, late)
    key_ownership.transfer_ownership(engine, "new")
    assert SqlWrappedSecrets(engine).retire("old")
