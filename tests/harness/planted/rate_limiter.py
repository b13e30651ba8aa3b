"""
Broken rate limiters, based on the in-memory one.
"""

# ruff: noqa: ARG002 (what a broken adapter ignores is its bug)

from __future__ import annotations

from datetime import datetime

import attrs

from sft_adapters.memory.rate_limiter import MemoryRateLimiter
from sft_core.errors import TooManyAttempts
from sft_core.values import Rate


class ResetsWhenTheClockGoesBack(MemoryRateLimiter):
    """
    A clock that goes back restores every attempt.
    """

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        latest = getattr(self, "latest", now)
        if now < latest:
            self.reset(key)
        self.latest = max(now, latest)
        super().acquire(key, rate, now=now)


class CountsRefusedAttempts(MemoryRateLimiter):
    """
    Refused attempts are counted, so a client that keeps retrying is never admitted.
    """

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        try:
            super().acquire(key, rate, now=now)
        except TooManyAttempts:
            super().acquire(key, attrs.evolve(rate, attempts=rate.attempts * 1000), now=now)
            raise


class AdmitsOneMore(MemoryRateLimiter):
    """
    One attempt more than the rate is admitted.
    """

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        super().acquire(key, Rate(rate.attempts + 1, rate.interval * (rate.attempts + 1)), now=now)


class ResetsEveryKey(MemoryRateLimiter):
    """
    A reset of one key resets every key.
    """

    def reset(self, key: str) -> None:
        for other in list(self._buckets):
            super().reset(other)


class NeverResets(MemoryRateLimiter):
    """
    A reset does nothing.
    """

    def reset(self, key: str) -> None:
        return


class AlwaysReportsOneSecond(MemoryRateLimiter):
    """
    `retry_after` is always 1, so a client that waits for it is refused again.
    """

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        try:
            super().acquire(key, rate, now=now)
        except TooManyAttempts:
            raise TooManyAttempts(1) from None


class TruncatesKeys(MemoryRateLimiter):
    """
    Long keys are truncated, so keys that differ at the end are equal.
    """

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        super().acquire(key[:44], rate, now=now)

    def reset(self, key: str) -> None:
        super().reset(key[:44])


@attrs.frozen
class CountsPerProcess:
    """
    Each process has its own count, so more processes admit more attempts.
    """

    shared: MemoryRateLimiter
    own: MemoryRateLimiter = attrs.field(factory=MemoryRateLimiter, init=False)

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        self.own.acquire(key, rate, now=now)

    def reset(self, key: str) -> None:
        self.own.reset(key)
