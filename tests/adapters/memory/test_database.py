"""
Snapshots of the database in memory.
"""

from __future__ import annotations

from collections.abc import MutableMapping

import attrs
import pytest

from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.testkit.contracts.examples import a_user, stored_user


def test_snapshot_holds_committed_rows_only() -> None:
    """A unit's rows appear with its commit, and only in snapshots taken after it."""
    database, user = MemoryDatabase(), a_user()
    with database() as unit:
        unit.users.add(user)
        before = database.snapshot()
        unit.commit()
    assert not before.users
    assert database.snapshot().users == {user.id: user}


def test_snapshot_is_read_only() -> None:
    """Neither a table nor a row in it can be changed."""
    database = MemoryDatabase()
    user = stored_user(database)
    snapshot = database.snapshot()
    assert not isinstance(snapshot.users, MutableMapping)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        snapshot.store_id = "another"  # type: ignore[misc]
    assert snapshot == database.snapshot()
    assert list(snapshot.users) == [user.id]
