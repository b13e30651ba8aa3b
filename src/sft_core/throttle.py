"""
Limits on guessing: how often a subject may attempt something.
"""

from __future__ import annotations

import hashlib

import attrs

from sft_core.ports import Clock, RateLimiter
from sft_core.values import Rate


@attrs.frozen(kw_only=True)
class Throttle:
    """
    Limit the attempts at one purpose by subject (an address, an id, a network).

    `acquire` consumes one attempt, and raises `TooManyAttempts` if none is left; `reset` restores all, after a success.
    A subject is stored as a digest only.
    """

    limiter: RateLimiter
    clock: Clock
    purpose: str
    rate: Rate

    def acquire(self, *subject: str) -> None:
        self.limiter.acquire(self._key(subject), self.rate, now=self.clock.now())

    def reset(self, *subject: str) -> None:
        self.limiter.reset(self._key(subject))

    def _key(self, subject: tuple[str, ...]) -> str:
        # No subject contains NUL, so two different ones are never joined to the same text.
        digest = hashlib.sha256("\0".join(subject).encode()).hexdigest()
        return f"{self.purpose}:{digest[:40]}"
