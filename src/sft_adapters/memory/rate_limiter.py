"""
A rate limiter in memory.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Final

import attrs

from sft_core.errors import TooManyAttempts
from sft_core.values import Rate

_SWEEP_FROM: Final = 1024


@attrs.define
class MemoryRateLimiter:
    """
    Implements `sft_core.ports.RateLimiter`; a lock makes each call atomic.

    An entry is kept for one window after all its attempts are restored, so that a clock that was set
    back restores nothing. Expired entries are deleted, so the number of keys does not exhaust the memory.
    """

    # The time when a key's attempts are all restored, and the expiry of its entry.
    _buckets: dict[str, tuple[datetime, datetime]] = attrs.field(factory=dict, init=False, repr=False)
    _sweep_at: int = attrs.field(default=_SWEEP_FROM, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        with self._lock:
            refilled_at = max(now, self._buckets.get(key, (now, now))[0])
            if refilled_at - now > rate.tolerance:
                raise TooManyAttempts(rate.retry_after(refilled_at, now))
            refilled_at += rate.interval
            self._buckets[key] = refilled_at, refilled_at + rate.window
            self._sweep(now)

    def reset(self, key: str) -> None:
        with self._lock:
            self._buckets.pop(key, None)

    def _sweep(self, now: datetime) -> None:
        # Whenever the number of entries has doubled since the last deletion.
        if len(self._buckets) >= self._sweep_at:
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket[1] > now}
            self._sweep_at = max(_SWEEP_FROM, 2 * len(self._buckets))
