"""
A session store in memory.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Final

import attrs

from sft_core.users.model import Session
from sft_core.values import SessionId

_SWEEP_FROM: Final = 1024


@attrs.define
class MemorySessions:
    """
    Implements `sft_core.users.ports.SessionStore`; a lock makes each call atomic.

    Opening a session may delete expired ones, so their number does not exhaust the memory.
    """

    _sessions: dict[SessionId, Session] = attrs.field(factory=dict, init=False, repr=False)
    _sweep_at: int = attrs.field(default=_SWEEP_FROM, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def open(self, session: Session) -> None:
        with self._lock:
            self._sweep(session.created_at)
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

    def _sweep(self, now: datetime) -> None:
        # Whenever the number of sessions has doubled since the last deletion.
        if len(self._sessions) >= self._sweep_at:
            self._sessions = {key: session for key, session in self._sessions.items() if session.expires_at > now}
            self._sweep_at = max(_SWEEP_FROM, 2 * len(self._sessions))
