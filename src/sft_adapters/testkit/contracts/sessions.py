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
    Give the fixtures `sessions`, and `user`: one whose sessions may be stored.

    `other_sessions` is another instance on the same data, as another process has one. Without it
    the contract takes one instance for both, and sees nothing of what an instance keeps to itself.

    `stale_seconds` is how long after a change another instance may still see the session as it was:
    a cache that is cut off declares it. Who decides, never is behind: a revoked session is rotated
    by nobody, at once.
    """

    stale_seconds: ClassVar[float] = 0.0

    @pytest.fixture
    def other_sessions(self, sessions: SessionStore) -> SessionStore:
        """
        Another instance on the same data; this default is the same one.
        """
        return sessions

    def _sees(self, sessions: SessionStore, session: Session) -> None:
        """
        What another instance has changed is seen, at the latest after `stale_seconds`.
        """
        end = time.monotonic() + self.stale_seconds
        while sessions.get(session.id) != session and time.monotonic() < end:
            time.sleep(0.01)
        assert sessions.get(session.id) == session

    def test_a_session_comes_back_as_opened(self, sessions: SessionStore, user: User) -> None:
        """Every field survives; an unknown session is None."""
        for session in (a_session(user), a_session(user, generation=7, revoked_at=NOW)):
            sessions.open(session)
            assert sessions.get(session.id) == session
        assert sessions.get(a_session(user).id) is None

    def test_an_unknown_session_may_be_opened_later(
        self, sessions: SessionStore, other_sessions: SessionStore, user: User
    ) -> None:
        """That somebody asked for it before it was there does not hide it from anybody."""
        for opener in (sessions, other_sessions):
            session = a_session(user)
            assert sessions.get(session.id) is None
            assert other_sessions.get(session.id) is None
            opener.open(session)
            assert sessions.get(session.id) == session
            assert other_sessions.get(session.id) == session

    def test_rotating_brings_the_next_generation(self, sessions: SessionStore, user: User) -> None:
        """The generation goes up by one and the end moves; the old generation is then no longer one."""
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
    def test_what_may_not_rotate_stays(
        self, sessions: SessionStore, user: User, changes: dict[str, object], generation: int
    ) -> None:
        """Another generation, a revoked session and one at its end are left as they are."""
        session = a_session(user, **changes)
        sessions.open(session)
        assert not sessions.rotate(session.id, generation=generation, now=NOW, expires_at=LATER)
        assert sessions.get(session.id) == session
        assert not sessions.rotate(a_session(user).id, generation=0, now=NOW, expires_at=LATER)

    def test_of_equal_rotations_one_wins(self, sessions: SessionStore, user: User) -> None:
        """Of twelve callers with one generation exactly one gets True."""
        session = a_session(user)
        sessions.open(session)
        won = race(lambda: sessions.rotate(session.id, generation=0, now=NOW, expires_at=LATER))
        assert won.count(True) == 1

    def test_revoking_is_for_good(self, sessions: SessionStore, user: User) -> None:
        """A revoked session keeps its first end; revoking it again, or an unknown one, is no error."""
        session = a_session(user)
        sessions.open(session)
        sessions.revoke(session.id, now=NOW)
        sessions.revoke(session.id, now=LATER)
        sessions.revoke(a_session(user).id, now=NOW)
        assert sessions.get(session.id) == attrs.evolve(session, revoked_at=NOW)

    def test_of_a_rotation_and_a_revocation_at_once_neither_is_lost(
        self, sessions: SessionStore, other_sessions: SessionStore, user: User
    ) -> None:
        """One against eleven, in two instances: it ends revoked, and rotated if anybody was told so."""
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

    def test_what_one_instance_changes_the_other_sees(
        self, sessions: SessionStore, other_sessions: SessionStore, user: User
    ) -> None:
        """A rotation and a revocation are seen by who has read the session before, and decide at once for all."""
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

    def test_a_revocation_elsewhere_decides_at_once(
        self, sessions: SessionStore, other_sessions: SessionStore, user: User
    ) -> None:
        """Who still sees the session as it was cannot rotate it any more."""
        session = a_session(user)
        sessions.open(session)
        assert other_sessions.get(session.id) == session
        sessions.revoke(session.id, now=NOW)
        assert not other_sessions.rotate(session.id, generation=0, now=NOW, expires_at=LATER)
