"""
The contract of `sft_core.users.ports.UserRepository`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from sft_adapters.testkit.contracts.examples import NOW, Database, a_user, race, stored_user
from sft_core.errors import AlreadyRegistered, Conflict
from sft_core.users.model import User
from sft_core.values import EmailAddress, UserId, Username


def _get(database: Database, user_id: UserId) -> User | None:
    with database(read_only=True) as unit:
        return unit.users.get(user_id)


class UserRepositoryContract:
    """
    Give the fixture `database`.
    """

    def test_a_user_comes_back_as_stored(self, database: Database) -> None:
        """Every field survives, times to the microsecond, with and without a second factor."""
        for changes in ({}, {"totp": None}, {"last_login": NOW, "is_active": False, "is_verified": True}):
            user = stored_user(database, **changes)
            assert _get(database, user.id) == user
            with database(read_only=True) as unit:
                assert unit.users.find(user.email) == user

    def test_who_is_not_there_is_none(self, database: Database) -> None:
        """An unknown id and an unknown address are None."""
        with database(read_only=True) as unit:
            assert unit.users.get(a_user().id) is None
            assert unit.users.find(a_user().email) is None

    @pytest.mark.parametrize(
        "taken",
        [
            {"email": EmailAddress.parse("TAKEN@example.org")},
            {"username": Username.parse("taken")},
            {"username": Username.parse("TAKEN")},
            {"username": Username.parse("ＴＡＫＥＮ")},
        ],
    )
    def test_an_address_and_a_name_belong_to_one_user(self, database: Database, taken: dict[str, Any]) -> None:
        """A taken address or name, in any case or width, is refused, and the unit can be left."""
        stored_user(database, name="taken")
        with database() as unit, pytest.raises(AlreadyRegistered):
            unit.users.add(a_user(**taken))

    def test_of_equal_registrations_one_wins(self, database: Database) -> None:
        """Of twelve that register one name at once, one is registered."""

        def register() -> bool:
            try:
                with database() as unit:
                    unit.users.add(a_user("racer"))
                    unit.commit()
            except AlreadyRegistered:
                return False
            return True

        assert sum(race(register)) == 1

    def test_saving_needs_the_present_revision(self, database: Database) -> None:
        """A save brings the next revision; a second one from the same read is a conflict."""
        user = stored_user(database)
        with database() as unit:
            saved = unit.users.save(attrs.evolve(user, totp=None, is_verified=True))
            unit.commit()
        assert saved == attrs.evolve(user, totp=None, is_verified=True, revision=user.revision + 1)
        assert _get(database, user.id) == saved
        with database() as unit, pytest.raises(Conflict):
            unit.users.save(attrs.evolve(user, is_active=False))
        assert _get(database, user.id) == saved

    def test_saving_who_is_gone_is_a_conflict(self, database: Database) -> None:
        """A user that is not stored cannot be saved."""
        with database() as unit, pytest.raises(Conflict):
            unit.users.save(a_user())

    def test_a_sign_in_is_recorded_and_a_step_is_spent(self, database: Database) -> None:
        """Time and step are stored together, and the revision moves on."""
        user = stored_user(database)
        later = NOW + timedelta(hours=1, microseconds=1)
        with database() as unit:
            assert unit.users.record_sign_in(user.id, later, 101)
            unit.commit()
        assert user.totp is not None
        spent = attrs.evolve(user.totp, last_step=101)
        assert _get(database, user.id) == attrs.evolve(user, last_login=later, totp=spent, revision=user.revision + 1)

    def test_a_save_never_brings_a_spent_step_back(self, database: Database) -> None:
        """Who read the user before a sign-in cannot save them after it: the step stays spent."""
        user = stored_user(database)
        with database() as unit:
            assert unit.users.record_sign_in(user.id, NOW, 101)
            unit.commit()
        with database() as unit, pytest.raises(Conflict):
            unit.users.save(attrs.evolve(user, is_verified=True))
        with database() as unit:
            assert not unit.users.record_sign_in(user.id, NOW, 101)

    @pytest.mark.parametrize(
        ("changes", "step"),
        [
            ({}, 100),
            ({}, 99),
            ({}, None),
            ({"is_active": False}, None),
            ({"is_active": False}, 101),
            ({"totp": None}, 101),
        ],
    )
    def test_a_sign_in_that_may_not_be_changes_nothing(
        self, database: Database, changes: dict[str, object], step: int | None
    ) -> None:
        """A step that is not later, none though one is due, nothing to spend it on, no active account: False."""
        user = stored_user(database, **changes)
        with database() as unit:
            assert not unit.users.record_sign_in(user.id, NOW, step)
            assert not unit.users.record_sign_in(a_user().id, NOW, None)
            unit.commit()
        assert _get(database, user.id) == user

    def test_without_a_second_factor_in_force_no_step_is_due(self, database: Database) -> None:
        """No second factor, or one that waits for its first code, asks for nothing."""
        pending = a_user().totp
        assert pending is not None
        for totp in (None, attrs.evolve(pending, confirmed=False)):
            user = stored_user(database, totp=totp)
            with database() as unit:
                assert unit.users.record_sign_in(user.id, NOW, None)
                unit.commit()
            assert _get(database, user.id) == attrs.evolve(user, last_login=NOW, revision=user.revision + 1)

    def test_a_step_is_spent_once(self, database: Database) -> None:
        """Of twelve sign-ins with one step at once, one is recorded."""
        user = stored_user(database)

        def sign_in() -> bool:
            with database() as unit:
                recorded = unit.users.record_sign_in(user.id, NOW, 101)
                unit.commit()
            return recorded

        assert race(sign_in).count(True) == 1
