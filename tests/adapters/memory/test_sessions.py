"""
Retention of sessions in memory.
"""

from __future__ import annotations

from datetime import timedelta

from sft_adapters.memory.sessions import MemorySessions
from sft_adapters.testkit.contracts.examples import NOW, a_session, a_user

SECOND = timedelta(seconds=1)
LIFETIME = timedelta(minutes=10)


def test_expired_sessions_do_not_fill_the_memory() -> None:
    """Of six thousand sessions, one opened a second, at most 2048 are kept at any time."""
    sessions, user = MemorySessions(), a_user()
    for number in range(6_000):
        now = NOW + SECOND * number
        sessions.open(a_session(user, created_at=now, expires_at=now + LIFETIME))
        assert len(sessions._sessions) <= 2048


def test_unexpired_session_is_kept() -> None:
    """A refreshed, a long-lived and a revoked session are kept among thousands of short ones."""
    sessions, user = MemorySessions(), a_user()
    refreshed = a_session(user, created_at=NOW, expires_at=NOW + LIFETIME)
    long = a_session(user, created_at=NOW, expires_at=NOW + SECOND * 5000)
    revoked = a_session(user, created_at=NOW, expires_at=NOW + SECOND * 5000)
    for session in (refreshed, long, revoked):
        sessions.open(session)
    sessions.revoke(revoked.id, now=NOW)
    for number in range(5000):
        now = NOW + SECOND * number
        sessions.open(a_session(user, created_at=now, expires_at=now + SECOND))
        if number % 500 == 0:
            assert sessions.rotate(refreshed.id, generation=number // 500, now=now, expires_at=now + LIFETIME)
    assert sessions.get(long.id) == long
    found = sessions.get(revoked.id)
    assert found is not None
    assert found.revoked_at == NOW
