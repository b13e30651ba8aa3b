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
    Contract suite of `UserRepository`: stored fields, unique names, revisions, one-time steps.

    An adapter passes if it keeps addresses and user names unique in any letter case and width, rejects a save
    from an outdated revision, and spends each one-time step once, also under concurrency.

    Fixtures:
        database: A new, empty unit-of-work factory.
    """

    def test_user_round_trip_keeps_every_field(self, database: Database) -> None:
        """Every field is stored, times to the microsecond, with and without a second factor."""
        for changes in ({}, {"totp": None}, {"last_login": NOW, "is_active": False, "is_verified": True}):
            user = stored_user(database, **changes)
            assert _get(database, user.id) == user
            with database(read_only=True) as unit:
                assert unit.users.find(user.email) == user

    def test_unknown_user_is_none(self, database: Database) -> None:
        """An unknown id and an unknown address return None."""
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
    def test_add_taken_address_or_name_is_refused(self, database: Database, taken: dict[str, Any]) -> None:
        """A taken address or name raises `AlreadyRegistered`, in any letter case or width."""
        stored_user(database, name="taken")
        with database() as unit, pytest.raises(AlreadyRegistered):
            unit.users.add(a_user(**taken))

    def test_concurrent_registrations_of_one_name_one_succeeds(self, database: Database) -> None:
        """Of twelve concurrent registrations of one name exactly one succeeds."""

        def register() -> bool:
            try:
                with database() as unit:
                    unit.users.add(a_user("racer"))
                    unit.commit()
            except AlreadyRegistered:
                return False
            return True

        assert sum(race(register)) == 1

    def test_save_outdated_revision_is_conflict(self, database: Database) -> None:
        """A save increments the revision; a second save from the same read raises `Conflict`."""
        user = stored_user(database)
        with database() as unit:
            saved = unit.users.save(attrs.evolve(user, totp=None, is_verified=True))
            unit.commit()
        assert saved == attrs.evolve(user, totp=None, is_verified=True, revision=user.revision + 1)
        assert _get(database, user.id) == saved
        with database() as unit, pytest.raises(Conflict):
            unit.users.save(attrs.evolve(user, is_active=False))
        assert _get(database, user.id) == saved

    def test_save_unknown_user_is_conflict(self, database: Database) -> None:
        """Saving a user that is not stored raises `Conflict`."""
        with database() as unit, pytest.raises(Conflict):
            unit.users.save(a_user())

    def test_sign_in_stores_time_and_step(self, database: Database) -> None:
        """Time and step are stored together, and the revision is incremented."""
        user = stored_user(database)
        later = NOW + timedelta(hours=1, microseconds=1)
        with database() as unit:
            assert unit.users.record_sign_in(user.id, later, 101)
            unit.commit()
        assert user.totp is not None
        spent = attrs.evolve(user.totp, last_step=101)
        assert _get(database, user.id) == attrs.evolve(user, last_login=later, totp=spent, revision=user.revision + 1)

    def test_save_after_sign_in_keeps_step_spent(self, database: Database) -> None:
        """A user read before a sign-in cannot be saved after it, so the step stays spent."""
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
    def test_invalid_sign_in_changes_nothing(
        self, database: Database, changes: dict[str, object], step: int | None
    ) -> None:
        """A step not later, a missing or needless step, or an inactive account returns False."""
        user = stored_user(database, **changes)
        with database() as unit:
            assert not unit.users.record_sign_in(user.id, NOW, step)
            assert not unit.users.record_sign_in(a_user().id, NOW, None)
            unit.commit()
        assert _get(database, user.id) == user

    def test_sign_in_without_confirmed_factor_needs_no_step(self, database: Database) -> None:
        """Without a second factor, or with an unconfirmed one, a sign-in needs no step."""
        pending = a_user().totp
        assert pending is not None
        for totp in (None, attrs.evolve(pending, confirmed=False)):
            user = stored_user(database, totp=totp)
            with database() as unit:
                assert unit.users.record_sign_in(user.id, NOW, None)
                unit.commit()
            assert _get(database, user.id) == attrs.evolve(user, last_login=NOW, revision=user.revision + 1)

    def test_concurrent_sign_ins_with_one_step_one_succeeds(self, database: Database) -> None:
        """Of twelve concurrent sign-ins with one step exactly one is recorded."""
        user = stored_user(database)

        def sign_in() -> bool:
            with database() as unit:
                recorded = unit.users.record_sign_in(user.id, NOW, 101)
                unit.commit()
            return recorded

        assert race(sign_in).count(True) == 1
