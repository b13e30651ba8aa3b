"""
Durable session stores that count their calls, pause in the middle, or fail.
"""

from __future__ import annotations

import threading
from datetime import datetime

import attrs

from sft_adapters.memory.sessions import MemorySessions
from sft_core.errors import DatabaseUnavailable
from sft_core.users.model import Session
from sft_core.values import SessionId


@attrs.define
class CountingSessions(MemorySessions):
    """
    A session store that counts its reads: a `get` that it does not count was served by the cache.
    """

    reads: int = attrs.field(default=0, init=False)

    def get(self, session_id: SessionId) -> Session | None:
        self.reads += 1
        return super().get(session_id)


@attrs.define
class PausingSessions(CountingSessions):
    """
    A session store whose next `get` after `pause_next` returns only when `resume` is set.
    """

    pause_next: bool = attrs.field(default=False, init=False)
    has_read: threading.Event = attrs.field(factory=threading.Event, init=False)
    resume: threading.Event = attrs.field(factory=threading.Event, init=False)

    def get(self, session_id: SessionId) -> Session | None:
        session = super().get(session_id)
        if self.pause_next:
            self.pause_next = False
            self.has_read.set()
            assert self.resume.wait(30)
        return session


@attrs.define
class DelayedSessions(CountingSessions):
    """
    A session store that reports an unknown outcome and applies the change only in `apply_delayed`.
    """

    _delayed: list[tuple[SessionId, datetime]] = attrs.field(factory=list, init=False)

    def revoke(self, session_id: SessionId, *, now: datetime) -> None:
        self._delayed.append((session_id, now))
        raise DatabaseUnavailable("nobody knows")

    def apply_delayed(self) -> None:
        """
        Apply the delayed changes.
        """
        for session_id, now in self._delayed:
            super().revoke(session_id, now=now)
