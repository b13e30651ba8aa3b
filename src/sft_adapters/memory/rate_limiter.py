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


@attrs.frozen
class _Count:
    """
    The time when a key's attempts are all restored, and its expiry.
    """

    comes_back: datetime
    over: datetime


@attrs.define
class MemoryRateLimiter:
    """
    Implements `sft_core.ports.RateLimiter`; a lock makes each call atomic.

    An entry is kept for one window after all its attempts are restored, so that a clock that was set
    back restores nothing. Expired entries are deleted, so the number of keys does not exhaust the memory.
    """

    _counts: dict[str, _Count] = attrs.field(factory=dict, init=False, repr=False)
    _sweep_at: int = attrs.field(default=_SWEEP_FROM, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        with self._lock:
            count = self._counts.get(key)
            comes_back = max(now, count.comes_back) if count is not None else now
            if comes_back - now > rate.tolerance:
                raise TooManyAttempts(rate.retry_after(comes_back, now))
            comes_back += rate.interval
            self._counts[key] = _Count(comes_back, over=comes_back + rate.window)
            self._sweep(now)

    def reset(self, key: str) -> None:
        with self._lock:
            self._counts.pop(key, None)

    def _sweep(self, now: datetime) -> None:
        """
        Delete expired entries, whenever their number has doubled since the last deletion.
        """
        if len(self._counts) < self._sweep_at:
            return
        self._counts = {key: count for key, count in self._counts.items() if count.over > now}
        self._sweep_at = max(_SWEEP_FROM, 2 * len(self._counts))
