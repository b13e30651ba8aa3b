"""
Broken rate limiters, planted in the one in memory.
"""

# ruff: noqa: ARG002 (what a broken adapter ignores is its bug)

from __future__ import annotations

from datetime import datetime

import attrs

from sft_adapters.memory.rate_limiter import MemoryRateLimiter
from sft_core.errors import TooManyAttempts
from sft_core.values import Rate


class GivesBackOnAClockThatGoesBack(MemoryRateLimiter):
    """
    A clock that goes back begins everything anew.
    """

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        latest = getattr(self, "latest", now)
        if now < latest:
            self.reset(key)
        self.latest = max(now, latest)
        super().acquire(key, rate, now=now)


class CountsRefusals(MemoryRateLimiter):
    """
    A refused try is counted too: who goes on trying is never admitted again.
    """

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        try:
            super().acquire(key, rate, now=now)
        except TooManyAttempts:
            super().acquire(key, attrs.evolve(rate, attempts=rate.attempts * 1000), now=now)
            raise


class AdmitsOneMore(MemoryRateLimiter):
    """
    The rate is off by one.
    """

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        super().acquire(key, Rate(rate.attempts + 1, rate.interval * (rate.attempts + 1)), now=now)


class ForgetsEverybody(MemoryRateLimiter):
    """
    Forgetting one key forgets all.
    """

    def reset(self, key: str) -> None:
        for other in list(self._buckets):
            super().reset(other)


class ForgetsNobody(MemoryRateLimiter):
    """
    Success gives nothing back.
    """

    def reset(self, key: str) -> None:
        return


class AlwaysSaysOneSecond(MemoryRateLimiter):
    """
    Whoever waits as long as they are told is refused again.
    """

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        try:
            super().acquire(key, rate, now=now)
        except TooManyAttempts:
            raise TooManyAttempts(1) from None


class CutsKeys(MemoryRateLimiter):
    """
    A column too narrow for the longest keys: what differs at the end is one key.
    """

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        super().acquire(key[:44], rate, now=now)

    def reset(self, key: str) -> None:
        super().reset(key[:44])


@attrs.frozen
class CountsInItsProcess:
    """
    A count that each process keeps for itself: the more processes, the more attempts.
    """

    shared: MemoryRateLimiter
    own: MemoryRateLimiter = attrs.field(factory=MemoryRateLimiter, init=False)

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        self.own.acquire(key, rate, now=now)

    def reset(self, key: str) -> None:
        self.own.reset(key)
