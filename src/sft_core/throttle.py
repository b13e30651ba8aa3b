"""
Guessing made slow: how often one subject may be tried in a while.
"""

from __future__ import annotations

import hashlib

import attrs

from sft_core.ports import Clock, RateLimiter
from sft_core.values import Rate


@attrs.frozen(kw_only=True)
class Throttle:
    """
    Admits tries at one purpose at a rate for each subject; success gives the tries back.

    A subject (an address, an id, where a request comes from) is kept as its digest only.
    """

    limiter: RateLimiter
    clock: Clock
    purpose: str
    rate: Rate

    def admit(self, *subject: str) -> None:
        """
        Take one of the subject's tries; `TooManyAttempts` if none is left.
        """
        self.limiter.admit(self._key(subject), self.rate, now=self.clock.now())

    def succeeded(self, *subject: str) -> None:
        """
        Give the subject its tries back.
        """
        self.limiter.forget(self._key(subject))

    def _key(self, subject: tuple[str, ...]) -> str:
        # NUL stands in no subject, so two different ones are never one text.
        digest = hashlib.sha256("\0".join(subject).encode()).hexdigest()
        return f"{self.purpose}:{digest[:40]}"
