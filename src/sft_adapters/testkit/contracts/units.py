"""
The contract of `sft_core.ports.UnitOfWork` and `UnitOfWorkFactory`.
"""

from __future__ import annotations

import attrs
import pytest

from sft_adapters.testkit.contracts.examples import NOW, Database, a_file, a_user, race, stored_file, stored_user
from sft_core.errors import SftError
from sft_core.values import UserId
from sft_core.vault.model import FileState


class _LeftError(Exception):
    """
    An unexpected exception that leaves a unit of work.
    """


def _exists(database: Database, user_id: UserId) -> bool:
    with database(read_only=True) as unit:
        return unit.users.get(user_id) is not None


class UnitOfWorkContract:
    """
    Contract suite of `UnitOfWork` and `UnitOfWorkFactory`: atomicity, isolation, read-only units.

    An adapter passes if a unit's changes are visible to others after its commit and never without one, a
    read-only unit reads from one consistent state, and no concurrent change is lost.

    Fixtures:
        database: A new, empty unit-of-work factory.
    """

    def test_unit_sees_its_own_uncommitted_changes(self, database: Database) -> None:
        """A unit reads its own changes before the commit."""
        user = a_user()
        with database() as unit:
            unit.users.add(user)
            assert unit.users.get(user.id) == user

    def test_leaving_without_commit_rolls_back(self, database: Database) -> None:
        """Leaving the block without a commit, normally or by an exception, changes nothing."""
        owner = stored_user(database)
        user, file = a_user(), a_file(owner)
        with database() as unit:
            unit.users.add(user)
            unit.files.add(file)
        with pytest.raises(_LeftError), database() as unit:
            unit.users.add(user)
            raise _LeftError
        assert not _exists(database, user.id)
        with database(read_only=True) as unit:
            assert unit.files.get(file.id) is None
        with database() as unit:
            unit.users.add(user)
            unit.commit()
        assert _exists(database, user.id)

    def test_exception_after_commit_rolls_nothing_back(self, database: Database) -> None:
        """Committed changes remain, even if the block ends with an exception."""
        user = a_user()
        with pytest.raises(_LeftError), database() as unit:
            unit.users.add(user)
            unit.commit()
            raise _LeftError
        assert _exists(database, user.id)

    def test_uncommitted_changes_are_invisible_to_others(self, database: Database) -> None:
        """A reader opened before or during a writer's unit sees the previous state until the reader ends."""
        file = stored_file(database)
        with database(read_only=True) as reader:
            assert reader.files.get(file.id) == file
            with database() as writer:
                assert writer.files.replace(file.deleting(NOW), expected=FileState.SEALED)
                assert reader.files.get(file.id) == file
                with database(read_only=True) as late_reader:
                    assert late_reader.files.get(file.id) == file
                writer.commit()
            assert reader.files.get(file.id) == file
        with database(read_only=True) as unit:
            assert unit.files.get(file.id) == file.deleting(NOW)

    def test_read_only_unit_refuses_changes_and_commit(self, database: Database) -> None:
        """A read-only unit raises on a change and on a commit."""
        user = stored_user(database)
        with database(read_only=True) as unit, pytest.raises(SftError):
            unit.users.record_sign_in(user.id, NOW, 101)
        with database(read_only=True) as unit, pytest.raises(SftError):
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.users.get(user.id) == user
        with database() as unit:
            assert unit.users.record_sign_in(user.id, NOW, 101)

    def test_unit_after_its_commit_is_closed(self, database: Database) -> None:
        """A unit refuses a second commit, and every use after its block."""
        user = a_user()
        with database() as unit:
            unit.users.add(user)
            unit.commit()
            with pytest.raises(SftError):
                unit.commit()
        with pytest.raises(SftError):
            unit.users.get(user.id)

    def test_concurrent_conflicting_saves_lose_no_change(self, database: Database) -> None:
        """Of twelve concurrent read-change-save cycles each is stored or refused."""
        user = stored_user(database)

        def change() -> int:
            try:
                with database() as unit:
                    present = unit.users.get(user.id)
                    assert present is not None
                    unit.users.save(attrs.evolve(present, is_verified=not present.is_verified))
                    unit.commit()
            except SftError:
                return 0
            return 1

        saved = sum(race(change))
        with database(read_only=True) as unit:
            stored = unit.users.get(user.id)
        assert stored is not None
        assert saved >= 1
        assert stored.revision == saved
        assert stored.is_verified == bool(saved % 2)
