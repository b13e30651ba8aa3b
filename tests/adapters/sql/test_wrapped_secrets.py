"""
Wrapped secrets on a database where others are at work on the same rows.
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


def test_rows_that_somebody_is_changing_are_passed_over(postgres_engine: Engine) -> None:
    """PostgreSQL: they are not waited for, so nobody can wait for us in turn; the others are changed."""
    database, wrapped = SqlDatabase(postgres_engine), SqlWrappedSecrets(postgres_engine)
    busy = stored_file(database)
    stored_file(database)
    found = wrapped.under("key-1", SecretKind.FILE_KEY, after=None, limit=10)
    anew = [Rewrapping(read, WrappedSecret("key-2", os.urandom(40))) for read in found]
    with transaction(postgres_engine) as (connection, _):
        connection.execute(select(files.c.id).where(files.c.id == busy.id.bytes).with_for_update())
        assert wrapped.replace(anew) == 1
    assert [one.id for one in wrapped.under("key-1", SecretKind.FILE_KEY, after=None, limit=10)] == [busy.id.value]
    assert wrapped.replace(anew) == 1


def test_who_makes_a_link_does_not_wait_for_a_rotation(postgres_engine: Engine) -> None:
    """PostgreSQL: a row that refers to one that is being changed may be added meanwhile, and the other way round."""
    database, wrapped = SqlDatabase(postgres_engine), SqlWrappedSecrets(postgres_engine)
    file = stored_file(database)
    (read,) = wrapped.under("key-1", SecretKind.FILE_KEY, after=None, limit=10)
    with database() as unit:
        unit.links.add(a_link(file))
        assert wrapped.replace([Rewrapping(read, WrappedSecret("key-2", os.urandom(40)))]) == 1
        unit.commit()
    assert dict(wrapped.count()[SecretKind.LINK_TOKEN]) == {"key-1": 1}


@attrs.frozen
class BesideAStart(SqlWrappedSecrets):
    """
    While it looks who needs a key, a service starts that has it as its active one.
    """

    key_id: str = attrs.field(kw_only=True)

    def count(self) -> Mapping[SecretKind, Mapping[str, int]]:
        if key_ownership.owner_key_id(self.engine) != self.key_id:
            with transaction(self.engine) as (connection, begun):
                key_ownership.ownership_step(self.key_id, verify=lambda _needed: None)(connection)
                begun.commit()
        return super().count()


def test_a_key_that_a_service_starts_with_is_not_retired(engine: Engine) -> None:
    """Or the storage would belong to a key that has been taken out of the ring, and nobody could start any more."""
    late = WrappedSecret("old", bytes(40))
    assert not BesideAStart(engine, key_id="old").retire("old")
    assert key_ownership.owner_key_id(engine) == "old"
    with transaction(engine) as (connection, _):
        retired_keys.require_usable_key(connection, late)
    key_ownership.transfer_ownership(engine, "new")
    assert SqlWrappedSecrets(engine).retire("old")
