"""
The contract of `sft_core.users.ports.SessionStore`.
"""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from sft_adapters.testkit.contracts.examples import NOW, a_session, race
from sft_core.users.model import User
from sft_core.users.ports import SessionStore

LATER = NOW + timedelta(days=8, microseconds=1)


class SessionStoreContract:
    """
    Give the fixtures `sessions`, and `user`: one whose sessions may be stored.
    """

    def test_a_session_comes_back_as_opened(self, sessions: SessionStore, user: User) -> None:
        """Every field survives; an unknown session is None."""
        for session in (a_session(user), a_session(user, generation=7, revoked_at=NOW)):
            sessions.open(session)
            assert sessions.get(session.id) == session
        assert sessions.get(a_session(user).id) is None

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
