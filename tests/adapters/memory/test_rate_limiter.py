"""
Retention of keys in the memory rate limiter.
"""

from __future__ import annotations

import pytest

from sft_adapters.memory.rate_limiter import MemoryRateLimiter
from sft_adapters.testkit.contracts.examples import NOW
from sft_adapters.testkit.contracts.rate_limiter import SECOND, THREE_A_MINUTE, a_key, how_many
from sft_core.errors import TooManyAttempts


def test_idle_keys_do_not_fill_the_memory() -> None:
    """Of fifty thousand keys, one attempt a second, at most 2048 are kept at any time."""
    limiter = MemoryRateLimiter()
    for number in range(50_000):
        limiter.acquire(f"k{number}", THREE_A_MINUTE, now=NOW + SECOND * number)
        assert len(limiter._buckets) <= 2048


def test_key_is_kept_for_a_clock_set_back() -> None:
    """Among thousands of others a key is kept for a window after its last attempt has returned."""
    limiter, key = MemoryRateLimiter(), a_key()
    how_many(limiter, key, THREE_A_MINUTE, NOW)
    for number in range(5000):
        limiter.acquire(f"k{number}", THREE_A_MINUTE, now=NOW + SECOND * 119)
    with pytest.raises(TooManyAttempts):
        limiter.acquire(key, THREE_A_MINUTE, now=NOW)
