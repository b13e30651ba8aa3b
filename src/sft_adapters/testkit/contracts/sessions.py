"""
The contract of `sft_core.users.ports.SessionStore`.
"""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import count
from typing import ClassVar

import attrs
import pytest

from sft_adapters.testkit.contracts.examples import NOW, a_session, race
from sft_core.users.model import Session, User
from sft_core.users.ports import SessionStore

LATER = NOW + timedelta(days=8, microseconds=1)


class SessionStoreContract:
    """
    Contract suite of `SessionStore`: rotation by compare-and-set, and final revocation.

    An adapter passes if of concurrent rotations of one generation exactly one succeeds, no revocation or
    rotation is lost, and a revoked session is never rotated, whichever instance decides.

    `stale_seconds` declares for how many seconds after a change another instance may still return the session
    as it was, as a cache that missed an invalidation does. It applies to `get` only: `rotate` always decides
    on the current state.

    Fixtures:
        sessions: A new, empty store.
        user: A user whose sessions the store accepts.
        other_sessions: Another instance on the same data, as in another process. Optional: by default it is
            the same instance, and state that an instance keeps to itself is not tested.
    """

    stale_seconds: ClassVar[float] = 0.0

    @pytest.fixture
    def other_sessions(self, sessions: SessionStore) -> SessionStore:
        """
        Return another instance on the same data; by default the same one.
        """
        return sessions

    def _sees(self, sessions: SessionStore, session: Session) -> None:
        """
        Assert that another instance's change is visible after at most `stale_seconds`.
        """
        end = time.monotonic() + self.stale_seconds
        while sessions.get(session.id) != session and time.monotonic() < end:
            time.sleep(0.01)
        assert sessions.get(session.id) == session

    def test_session_round_trip_keeps_every_field(self, sessions: SessionStore, user: User) -> None:
        """Every field is stored; an unknown session is None."""
        for session in (a_session(user), a_session(user, generation=7, revoked_at=NOW)):
            sessions.open(session)
            assert sessions.get(session.id) == session
        assert sessions.get(a_session(user).id) is None

    def test_session_opened_after_a_miss_is_found(
        self, sessions: SessionStore, other_sessions: SessionStore, user: User
    ) -> None:
        """A lookup before the session was opened does not hide it from any instance."""
        for opener in (sessions, other_sessions):
            session = a_session(user)
            assert sessions.get(session.id) is None
            assert other_sessions.get(session.id) is None
            opener.open(session)
            assert sessions.get(session.id) == session
            assert other_sessions.get(session.id) == session

    def test_rotate_increments_the_generation(self, sessions: SessionStore, user: User) -> None:
        """The generation is incremented and the expiry moved; the old generation is then refused."""
        session = a_session(user)
        sessions.open(session)
        assert sessions.rotate(session.id, generation=0, now=NOW, expires_at=LATER)
        assert sessions.get(session.id) == attrs.evolve(session, generation=1, expires_at=LATER)
        assert not sessions.rotate(session.id, generation=0, now=NOW, expires_at=LATER)
        assert sessions.rotate(session.id, generation=1, now=NOW, expires_at=LATER)

    @pytest.mark.parametrize(
        ("changes", "generation"),
        [({}, 1), ({"generation": 2}, 1), ({"revoked_at": NOW}, 0), ({"expires_at": NOW}, 0)],
    )
    def test_rotate_invalid_session_changes_nothing(
        self, sessions: SessionStore, user: User, changes: dict[str, object], generation: int
    ) -> None:
        """A wrong generation, a revoked session and an expired one are refused and left unchanged."""
        session = a_session(user, **changes)
        sessions.open(session)
        assert not sessions.rotate(session.id, generation=generation, now=NOW, expires_at=LATER)
        assert sessions.get(session.id) == session
        assert not sessions.rotate(a_session(user).id, generation=0, now=NOW, expires_at=LATER)

    def test_concurrent_rotations_one_succeeds(self, sessions: SessionStore, user: User) -> None:
        """Of twelve concurrent callers with one generation exactly one gets True."""
        session = a_session(user)
        sessions.open(session)
        results = race(lambda: sessions.rotate(session.id, generation=0, now=NOW, expires_at=LATER))
        assert results.count(True) == 1

    def test_revoke_is_final_and_idempotent(self, sessions: SessionStore, user: User) -> None:
        """A revoked session keeps its first revocation time; revoking it again, or an unknown one, is no error."""
        session = a_session(user)
        sessions.open(session)
        sessions.revoke(session.id, now=NOW)
        sessions.revoke(session.id, now=LATER)
        sessions.revoke(a_session(user).id, now=NOW)
        assert sessions.get(session.id) == attrs.evolve(session, revoked_at=NOW)

    def test_concurrent_rotation_and_revocation_both_apply(
        self, sessions: SessionStore, other_sessions: SessionStore, user: User
    ) -> None:
        """One against eleven, on two instances: the session is revoked, and rotated if a rotation returned True."""
        for one_revokes in (True, False):
            session, numbers = a_session(user), count()
            sessions.open(session)

            def act(session: Session = session, numbers: count[int] = numbers, *, first: bool = one_revokes) -> bool:
                number = next(numbers)
                instance = other_sessions if number % 2 else sessions
                if first is (number == 0):
                    instance.revoke(session.id, now=NOW)
                    return False
                return instance.rotate(session.id, generation=0, now=NOW, expires_at=LATER)

            rotated = race(act).count(True)
            assert rotated <= 1
            end = LATER if rotated else session.expires_at
            ended = attrs.evolve(session, generation=rotated, expires_at=end, revoked_at=NOW)
            for instance in (sessions, other_sessions):
                self._sees(instance, ended)
                assert not instance.rotate(session.id, generation=rotated, now=NOW, expires_at=LATER)

    def test_changes_are_visible_to_the_other_instance(
        self, sessions: SessionStore, other_sessions: SessionStore, user: User
    ) -> None:
        """The other instance, which has read the session, sees a rotation and a revocation, and decides by them."""
        for one, other in ((sessions, other_sessions), (other_sessions, sessions)):
            session = a_session(user)
            one.open(session)
            assert one.get(session.id) == other.get(session.id) == session
            assert one.rotate(session.id, generation=0, now=NOW, expires_at=LATER)
            rotated = attrs.evolve(session, generation=1, expires_at=LATER)
            assert one.get(session.id) == rotated
            self._sees(other, rotated)
            assert not other.rotate(session.id, generation=0, now=NOW, expires_at=LATER)
            one.revoke(session.id, now=NOW)
            assert one.get(session.id) == attrs.evolve(rotated, revoked_at=NOW)
            self._sees(other, attrs.evolve(rotated, revoked_at=NOW))
            assert not other.rotate(session.id, generation=1, now=NOW, expires_at=LATER)

    def test_rotate_after_revocation_by_another_instance_is_refused(
        self, sessions: SessionStore, other_sessions: SessionStore, user: User
    ) -> None:
        """An instance that still returns the old session cannot rotate it."""
        session = a_session(user)
        sessions.open(session)
        assert other_sessions.get(session.id) == session
        sessions.revoke(session.id, now=NOW)
        assert not other_sessions.rotate(session.id, generation=0, now=NOW, expires_at=LATER)
