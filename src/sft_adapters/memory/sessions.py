"""
Sessions in memory.
"""

from __future__ import annotations

import threading
from datetime import datetime

import attrs

from sft_core.users.model import Session
from sft_core.values import SessionId


@attrs.define
class MemorySessions:
    """
    Implements `sft_core.users.ports.SessionStore`; a lock makes each call one step.
    """

    _sessions: dict[SessionId, Session] = attrs.field(factory=dict, init=False, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def open(self, session: Session) -> None:
        with self._lock:
            self._sessions[session.id] = session

    def get(self, session_id: SessionId) -> Session | None:
        with self._lock:
            return self._sessions.get(session_id)

    def rotate(self, session_id: SessionId, *, generation: int, now: datetime, expires_at: datetime) -> bool:
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None or session.generation != generation:
                return False
            if session.revoked_at is not None or now >= session.expires_at:
                return False
            self._sessions[session_id] = attrs.evolve(session, generation=generation + 1, expires_at=expires_at)
            return True

    def revoke(self, session_id: SessionId, *, now: datetime) -> None:
        with self._lock:
            session = self._sessions.get(session_id)
            if session is not None and session.revoked_at is None:
                self._sessions[session_id] = attrs.evolve(session, revoked_at=now)
