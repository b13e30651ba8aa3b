"""
A circuit breaker in front of the Redis server.

After a failure the server is not used for a cooldown; then one caller probes it.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

import attrs

_log: Final = logging.getLogger("sft.redis")


@attrs.define
class Breaker:
    """
    Decides whether a caller may use a server that may have failed.

    Each failure starts a cooldown of `rest_seconds`. After it one caller probes the server, and all
    others skip it until the probe has a result. An outage is logged once when it starts and once when
    it ends, with the type of the failure only.
    """

    rest_seconds: float
    _rests_until: float | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def may_ask(self) -> bool:
        """
        Return whether the caller may use the server.

        If so, it must call `answered` or `failed` afterwards.
        """
        with self._lock:
            if self._rests_until is None:
                return True
            now = time.monotonic()
            if now < self._rests_until:
                return False
            self._rests_until = now + self.rest_seconds
            return True

    def answered(self) -> None:
        """
        Record a success and end the cooldown.
        """
        with self._lock:
            was_out, self._rests_until = self._rests_until is not None, None
        if was_out:
            _log.warning("Redis has recovered and is used again")

    def failed(self, kind: str) -> None:
        """
        Record a failure and start a cooldown.
        """
        with self._lock:
            was_out = self._rests_until is not None
            self._rests_until = time.monotonic() + self.rest_seconds
        if not was_out:
            _log.warning("Redis is not used because it failed (%s): the database takes its place", kind)
