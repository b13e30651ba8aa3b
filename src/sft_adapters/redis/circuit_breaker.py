"""
A circuit breaker in front of the Redis server.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

import attrs

_log: Final = logging.getLogger("sft.redis")


@attrs.define
class CircuitBreaker:
    """
    Decides whether a caller may use a server that may have failed.

    Each failure starts a cooldown of `cooldown_seconds`. After it one caller probes the server, and all
    others skip it until the probe has a result. An outage is logged once when it starts and once when
    it ends, with the type of the failure only.
    """

    cooldown_seconds: float
    _open_until: float | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def allow_request(self) -> bool:
        """
        Return whether the caller may use the server, and then must record the outcome.
        """
        with self._lock:
            if self._open_until is None:
                return True
            now = time.monotonic()
            if now < self._open_until:
                return False
            self._open_until = now + self.cooldown_seconds
            return True

    def record_success(self) -> None:
        """
        Record a success and end the cooldown.
        """
        with self._lock:
            was_open, self._open_until = self._open_until is not None, None
        if was_open:
            _log.warning("Redis has recovered and is used again")

    def record_failure(self, kind: str) -> None:
        """
        Record a failure and start a cooldown.
        """
        with self._lock:
            was_open = self._open_until is not None
            self._open_until = time.monotonic() + self.cooldown_seconds
        if not was_open:
            _log.warning("Redis is not used because it failed (%s): the database takes its place", kind)
