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
    The way out of a unit that nobody foresaw.
    """


def _exists(database: Database, user_id: UserId) -> bool:
    with database(read_only=True) as unit:
        return unit.users.get(user_id) is not None


class UnitOfWorkContract:
    """
    Give the fixture `database`.
    """

    def test_a_unit_sees_its_own_changes(self, database: Database) -> None:
        """Before the commit they are there for the unit that made them."""
        user = a_user()
        with database() as unit:
            unit.users.add(user)
            assert unit.users.get(user.id) == user

    def test_leaving_without_commit_undoes_everything(self, database: Database) -> None:
        """By the end of the block or by an exception: nothing of it happened."""
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

    def test_an_exception_after_the_commit_undoes_nothing(self, database: Database) -> None:
        """What is committed stays, however the block ends."""
        user = a_user()
        with pytest.raises(_LeftError), database() as unit:
            unit.users.add(user)
            unit.commit()
            raise _LeftError
        assert _exists(database, user.id)

    def test_others_see_nothing_before_the_commit(self, database: Database) -> None:
        """Readers from before and during a writer's unit see the state as it was, and go on seeing it."""
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

    def test_a_read_only_unit_refuses_changes(self, database: Database) -> None:
        """It neither changes anything nor commits."""
        user = stored_user(database)
        with database(read_only=True) as unit, pytest.raises(SftError):
            unit.users.record_sign_in(user.id, NOW, 101)
        with database(read_only=True) as unit, pytest.raises(SftError):
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.users.get(user.id) == user
        with database() as unit:
            assert unit.users.record_sign_in(user.id, NOW, 101)

    def test_a_unit_commits_once_and_is_then_over(self, database: Database) -> None:
        """After its commit, and after its block, a unit refuses to be used."""
        user = a_user()
        with database() as unit:
            unit.users.add(user)
            unit.commit()
            with pytest.raises(SftError):
                unit.commit()
        with pytest.raises(SftError):
            unit.users.get(user.id)

    def test_of_conflicting_changes_none_is_lost(self, database: Database) -> None:
        """Twelve that read, change and save one user at once: each save counted, or refused."""
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
