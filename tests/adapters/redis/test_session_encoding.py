"""
The encoding of cached sessions.
"""

from __future__ import annotations

from datetime import UTC
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from sft_adapters.redis.sessions import decode_session, encode_session
from sft_core.users.model import Session
from sft_core.values import SessionId, UserId

MOMENTS = st.datetimes(timezones=st.just(UTC))
SESSIONS = st.builds(
    Session,
    id=st.uuids().map(SessionId),
    user_id=st.uuids().map(UserId),
    created_at=MOMENTS,
    expires_at=MOMENTS,
    generation=st.integers(0, 2**63 - 1),
    revoked_at=st.none() | MOMENTS,
)


@given(SESSIONS)
def test_session_round_trips(session: Session) -> None:
    """Every field round-trips, to the microsecond, from the year 1 to 9999."""
    assert decode_session(encode_session(session), session.id) == session


@given(st.binary(max_size=80) | st.binary(min_size=64, max_size=64).map(lambda rest: b"S1" + rest))
def test_any_bytes_decode_to_a_session_or_none(value: bytes) -> None:
    """Other bytes decode to None, never to an error, and each session has one encoding."""
    session = decode_session(value, SessionId(UUID(bytes=value[2:18].ljust(16))))
    assert session is None or encode_session(session) == value
