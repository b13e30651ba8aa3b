"""
A circuit breaker: after a fault nobody asks for a while, and then one does.
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
    Decides whether to ask a server that may be out of order.

    Each fault begins a rest of `rest_seconds`. At its end one caller asks, and all others rest
    on until that one has an answer. An outage is logged once when it begins and once when it is
    over, with the fault's kind and nothing else.
    """

    rest_seconds: float
    _rests_until: float | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def may_ask(self) -> bool:
        """
        Whether this caller asks; one that does must tell by `answered` or `failed` how it went.
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
        The server does what it is asked to: everybody may ask.
        """
        with self._lock:
            was_out, self._rests_until = self._rests_until is not None, None
        if was_out:
            _log.warning("Redis can be used again")

    def failed(self, kind: str) -> None:
        """
        The server did not do what it was asked to: it rests from now on.
        """
        with self._lock:
            was_out = self._rests_until is not None
            self._rests_until = time.monotonic() + self.rest_seconds
        if not was_out:
            _log.warning("Redis cannot be used (%s): the database answers for it", kind)
