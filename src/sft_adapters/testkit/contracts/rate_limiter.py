"""
The contract of `sft_core.ports.RateLimiter`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import count
from typing import Final
from uuid import uuid4

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sft_adapters.testkit.contracts.drawn import DRAWN
from sft_adapters.testkit.contracts.examples import NOW, race
from sft_core.errors import TooManyAttempts
from sft_core.ports import RateLimiter
from sft_core.values import Rate

MICROSECOND: Final = timedelta(microseconds=1)
SECOND: Final = timedelta(seconds=1)
LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)
THREE_A_MINUTE: Final = Rate(3, timedelta(minutes=1))
SEVEN_AN_HOUR: Final = Rate(7, timedelta(hours=1))
TEN_A_SECOND: Final = Rate(60, timedelta(seconds=6, microseconds=50))


def a_key() -> str:
    """
    Return a key without any attempts.
    """
    return f"sign-in:{uuid4().hex}"


def admitted(limiter: RateLimiter, key: str, rate: Rate, now: datetime) -> bool:
    """
    Acquire one more attempt if possible; return whether it succeeded.
    """
    try:
        limiter.acquire(key, rate, now=now)
    except TooManyAttempts:
        return False
    return True


def how_many(limiter: RateLimiter, key: str, rate: Rate, now: datetime) -> int:
    """
    Acquire all remaining attempts and return their number, at most one more than `rate.attempts`.
    """
    taken = 0
    while taken <= rate.attempts and admitted(limiter, key, rate, now):
        taken += 1
    return taken


@attrs.define
class LeakyBucket:
    """
    Oracle: a bucket that holds `rate.attempts` and leaks one attempt per interval.

    It is the other formulation of the same algorithm (ITU-T I.371, annex A, the continuous-state
    leaky bucket), in exact fractions of an attempt.
    """

    rate: Rate
    content: Fraction = Fraction(0)
    at: datetime = LONG_AGO

    def wait(self, now: datetime) -> Fraction:
        """
        Return the intervals until one more attempt fits; zero or less means now.
        """
        return max(Fraction(0), self._left(now)) - (self.rate.attempts - 1)

    def pour(self, now: datetime) -> None:
        """
        Add an attempt.
        """
        self.content, self.at = max(Fraction(0), self._left(now)) + 1, now

    def _left(self, now: datetime) -> Fraction:
        return self.content - Fraction((now - self.at) // MICROSECOND, self.rate.interval // MICROSECOND)


@attrs.frozen
class Try:
    """
    One step of a history: a time offset, then an attempt or a reset.

    The offset is `intervals` of the rate and `microseconds`; both may be negative.
    """

    intervals: int
    microseconds: int
    key: int
    forget: bool


def assert_decided_as_the_oracle_does(limiter: RateLimiter, rate: Rate, tries: list[Try]) -> None:
    """
    Run a history on two fresh keys and two buckets and compare every decision.

    The clock goes back by one window at most.
    """
    keys, buckets = (a_key(), a_key()), [LeakyBucket(rate), LeakyBucket(rate)]
    now = latest = NOW
    for step in tries:
        now = max(now + rate.interval * step.intervals + MICROSECOND * step.microseconds, latest - rate.window)
        latest = max(latest, now)
        key, bucket = keys[step.key], buckets[step.key]
        if step.forget:
            limiter.reset(key)
            buckets[step.key] = LeakyBucket(rate)
        elif (wait := bucket.wait(now)) <= 0:
            limiter.acquire(key, rate, now=now)
            bucket.pour(now)
        else:
            with pytest.raises(TooManyAttempts) as refused:
                limiter.acquire(key, rate, now=now)
            seconds = wait * Fraction(rate.interval // MICROSECOND, 1_000_000)
            assert refused.value.retry_after == max(1, -(-seconds.numerator // seconds.denominator))


RATES: Final = st.builds(
    Rate,
    st.integers(1, 12),
    st.integers(60_000_000, 400_000_000_000).map(lambda microseconds: microseconds * MICROSECOND),
)
TRIES: Final = st.lists(
    st.builds(
        Try,
        intervals=st.sampled_from([0, 0, 0, 1, 1, 2, 5, 20, -1, -3]),
        microseconds=st.integers(-2, 2) | st.integers(-3_000_000, 3_000_000),
        key=st.integers(0, 1),
        forget=st.sampled_from([False] * 9 + [True]),
    ),
    max_size=30,
)


class RateLimiterContract:
    """
    Contract suite of `RateLimiter`: a leaky bucket per key, exact to the microsecond.

    An adapter passes if it admits and refuses exactly as the oracle `LeakyBucket` does, counts the attempts of
    all instances together, and under concurrency admits exactly as many as are left.

    Fixtures:
        limiter: A new, empty rate limiter.
        other_limiter: Another instance on the same data, as in another process. Optional: by default it is
            the same instance, and state that an instance keeps to itself is not tested.
    """

    @pytest.fixture
    def other_limiter(self, limiter: RateLimiter) -> RateLimiter:
        """
        Return another instance on the same data; by default the same one.
        """
        return limiter

    @pytest.mark.parametrize("rate", [Rate(1, SECOND * 60), THREE_A_MINUTE, SEVEN_AN_HOUR])
    def test_fresh_key_has_all_attempts(self, limiter: RateLimiter, rate: Rate) -> None:
        """A new key admits exactly `rate.attempts` at one moment."""
        assert how_many(limiter, a_key(), rate, NOW) == rate.attempts

    def test_refusal_states_the_wait_in_seconds(self, limiter: RateLimiter) -> None:
        """`retry_after` is in whole seconds, rounded up, and at least 1."""
        key = a_key()
        how_many(limiter, key, THREE_A_MINUTE, NOW)
        for after, wait in [
            (timedelta(0), 20),
            (MICROSECOND, 20),
            (SECOND, 19),
            (SECOND * 18 + MICROSECOND, 2),
            (SECOND * 19, 1),
            (SECOND * 20 - MICROSECOND, 1),
        ]:
            with pytest.raises(TooManyAttempts) as refused:
                limiter.acquire(key, THREE_A_MINUTE, now=NOW + after)
            assert refused.value.retry_after == wait

    def test_refused_attempt_consumes_nothing(self, limiter: RateLimiter) -> None:
        """Refused attempts do not delay the restoration of the next attempt."""
        key = a_key()
        how_many(limiter, key, THREE_A_MINUTE, NOW)
        for _ in range(10):
            assert not admitted(limiter, key, THREE_A_MINUTE, NOW + SECOND * 19)
        assert admitted(limiter, key, THREE_A_MINUTE, NOW + SECOND * 20)

    @pytest.mark.parametrize("rate", [THREE_A_MINUTE, SEVEN_AN_HOUR, Rate(9, timedelta(days=365))])
    def test_one_attempt_is_restored_each_interval(self, limiter: RateLimiter, rate: Rate) -> None:
        """One attempt, and only one, is restored at each interval, not a microsecond earlier."""
        key = a_key()
        how_many(limiter, key, rate, NOW)
        for back in (1, 2, 3):
            moment = NOW + rate.interval * back
            assert not admitted(limiter, key, rate, moment - MICROSECOND)
            assert how_many(limiter, key, rate, moment) == 1

    @pytest.mark.parametrize("rate", [THREE_A_MINUTE, SEVEN_AN_HOUR, TEN_A_SECOND])
    def test_idle_window_restores_all_attempts(self, limiter: RateLimiter, rate: Rate) -> None:
        """After a whole window all attempts are restored; one interval earlier, all but one."""
        key = a_key()
        how_many(limiter, key, rate, NOW)
        assert how_many(limiter, key, rate, NOW + rate.window) == rate.attempts
        assert how_many(limiter, key, rate, NOW + rate.window + rate.tolerance) == rate.attempts - 1

    def test_keys_are_independent(self, limiter: RateLimiter) -> None:
        """Attempts of one key do not count for another, even if it differs by one letter."""
        key = a_key()
        how_many(limiter, key, THREE_A_MINUTE, NOW)
        for other in (a_key(), f"{key}0", key[:-1]):
            assert how_many(limiter, other, THREE_A_MINUTE, NOW) == 3
        assert not admitted(limiter, key, THREE_A_MINUTE, NOW)

    @pytest.mark.parametrize("length", [40, 48, 100])
    def test_keys_differing_in_one_letter_are_independent(self, limiter: RateLimiter, length: int) -> None:
        """Keys up to the maximum length that differ in a single letter are two keys."""
        key = f"sign-in:{uuid4().hex * 3}"[:length]
        how_many(limiter, key, THREE_A_MINUTE, NOW)
        for at in (0, length // 2, length - 9, length - 2, length - 1):
            other = f"{key[:at]}{'1' if key[at] == '0' else '0'}{key[at + 1 :]}"
            assert how_many(limiter, other, THREE_A_MINUTE, NOW) == 3, at

    def test_instances_share_the_count(self, limiter: RateLimiter, other_limiter: RateLimiter) -> None:
        """Attempts and resets of either instance apply to both."""
        key = a_key()
        assert admitted(limiter, key, THREE_A_MINUTE, NOW)
        assert admitted(other_limiter, key, THREE_A_MINUTE, NOW)
        assert admitted(limiter, key, THREE_A_MINUTE, NOW)
        assert not admitted(other_limiter, key, THREE_A_MINUTE, NOW)
        other_limiter.reset(key)
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3
        assert not admitted(other_limiter, key, THREE_A_MINUTE, NOW)

    def test_extreme_keys_and_rates_are_accepted(self, limiter: RateLimiter) -> None:
        """The longest key, the shortest, and the widest rates are counted like any other."""
        for key in ("k", "a" * 100, f"a:-{uuid4()}:9"):
            limiter.reset(key)
            for rate in (Rate(1, timedelta(days=365)), Rate(1, SECOND), Rate(1_000_000, timedelta(days=365))):
                assert admitted(limiter, key, rate, NOW)
                limiter.reset(key)

    def test_reset_restores_every_attempt_of_the_key(self, limiter: RateLimiter) -> None:
        """A reset takes effect at once and for that key alone; a key without attempts is no error."""
        key, other = a_key(), a_key()
        how_many(limiter, key, THREE_A_MINUTE, NOW)
        how_many(limiter, other, THREE_A_MINUTE, NOW)
        limiter.reset(key)
        limiter.reset(a_key())
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3
        assert not admitted(limiter, other, THREE_A_MINUTE, NOW)

    def test_clock_going_back_restores_nothing(self, limiter: RateLimiter) -> None:
        """An earlier moment restores no attempt, and neither does the return to the later one."""
        key = a_key()
        assert admitted(limiter, key, THREE_A_MINUTE, NOW)
        assert how_many(limiter, key, THREE_A_MINUTE, NOW - SECOND * 20) == 1
        assert how_many(limiter, key, THREE_A_MINUTE, NOW - SECOND * 40) == 0
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 1

    def test_concurrent_acquires_admit_exactly_the_rest(self, limiter: RateLimiter, other_limiter: RateLimiter) -> None:
        """Of twelve concurrent callers of two instances exactly the five remaining attempts are admitted."""
        for _ in range(5):
            key, numbers = a_key(), count()
            assert admitted(limiter, key, SEVEN_AN_HOUR, NOW)
            assert admitted(limiter, key, SEVEN_AN_HOUR, NOW)

            def attempt(key: str = key, numbers: count[int] = numbers) -> bool:
                instance = other_limiter if next(numbers) % 2 else limiter
                return admitted(instance, key, SEVEN_AN_HOUR, NOW)

            assert race(attempt).count(True) == 5

    def test_any_history_matches_the_leaky_bucket(self, limiter: RateLimiter) -> None:
        """Each attempt of any history is admitted or refused as by the oracle, to the microsecond."""

        # Defined inside the test: Hypothesis rejects one property function shared by several adapters.
        @settings(DRAWN, max_examples=60)
        @given(rate=RATES, tries=TRIES)
        @example(rate=Rate(1, 60 * SECOND), tries=[Try(-1, 0, 0, forget=False), Try(0, 0, 1, forget=False)])
        @example(rate=Rate(3, 100 * SECOND), tries=[Try(0, 0, 0, forget=False)] * 5 + [Try(1, -1, 0, forget=False)] * 5)
        def history(rate: Rate, tries: list[Try]) -> None:
            assert_decided_as_the_oracle_does(limiter, rate, tries)

        history()
