"""
The rate limiter in SQL, on both databases.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, event, select

from sft_adapters.sql.rate_limiter import SqlRateLimiter
from sft_adapters.sql.tables import throttles
from sft_adapters.sql.transactions import transaction
from sft_adapters.testkit.contracts.examples import NOW, RACERS, race
from sft_core.errors import TooManyAttempts
from sft_core.values import Rate

KEY = "sign-in:0193-a"
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
FIVE_A_MINUTE = Rate(5, 60 * SECOND)


@pytest.fixture
def limiter(engine: Engine) -> SqlRateLimiter:
    return SqlRateLimiter(engine)


def is_allowed(limiter: SqlRateLimiter, now: datetime, *, key: str = KEY, rate: Rate = FIVE_A_MINUTE) -> bool:
    try:
        limiter.acquire(key, rate, now=now)
    except TooManyAttempts:
        return False
    return True


def use_remaining(limiter: SqlRateLimiter, now: datetime) -> int:
    """
    How many attempts are allowed at a time; it uses all of them.
    """
    used = 0
    while used < 100 and is_allowed(limiter, now):
        used += 1
    return used


def test_new_key_has_all_attempts(limiter: SqlRateLimiter) -> None:
    """A new key has five of five attempts, and another key has its own five."""
    assert use_remaining(limiter, NOW) == 5
    assert is_allowed(limiter, NOW, key="another")


def test_one_attempt_returns_per_interval(limiter: SqlRateLimiter) -> None:
    """One attempt returns per interval, not a microsecond earlier; after the window all have returned, and no more."""
    assert use_remaining(limiter, NOW) == 5
    assert not is_allowed(limiter, NOW + 12 * SECOND - MICROSECOND)
    assert use_remaining(limiter, NOW + 12 * SECOND) == 1
    assert use_remaining(limiter, NOW + 36 * SECOND) == 2
    assert use_remaining(limiter, NOW + 96 * SECOND) == 5
    assert use_remaining(limiter, NOW + timedelta(days=400)) == 5


def test_refusal_uses_no_attempt_and_reports_the_wait(limiter: SqlRateLimiter) -> None:
    """The wait is whole seconds, rounded up, and an attempt after it succeeds."""
    assert use_remaining(limiter, NOW) == 5
    for late, seconds in ((0 * SECOND, 12), (MICROSECOND, 12), (11 * SECOND, 1), (11 * SECOND + MICROSECOND, 1)):
        for _ in range(3):
            with pytest.raises(TooManyAttempts) as caught:
                limiter.acquire(KEY, FIVE_A_MINUTE, now=NOW + late)
            assert caught.value.retry_after == seconds
    assert use_remaining(limiter, NOW + 12 * SECOND) == 1


def test_clock_set_back_returns_no_attempt(limiter: SqlRateLimiter) -> None:
    """Attempts at a later time count at an earlier one, and still count when time advances."""
    assert use_remaining(limiter, NOW) == 5
    for earlier in (SECOND, timedelta(days=1)):
        assert not is_allowed(limiter, NOW - earlier)
    assert use_remaining(limiter, NOW + 12 * SECOND) == 1
    later = NOW + timedelta(hours=1)
    limiter.reset(KEY)
    assert is_allowed(limiter, later)
    assert is_allowed(limiter, NOW, rate=Rate(400, 4000 * SECOND))
    with transaction(limiter.engine, read_only=True) as (connection, _):
        assert connection.execute(select(throttles.c.comes_back)).scalar_one() == later + 22 * SECOND


def test_reset_returns_every_attempt(limiter: SqlRateLimiter) -> None:
    """A reset affects one key, and resetting an unused key is no error."""
    assert use_remaining(limiter, NOW) == 5
    assert is_allowed(limiter, NOW, key="another", rate=Rate(1, SECOND))
    limiter.reset(KEY)
    limiter.reset("never-tried")
    assert use_remaining(limiter, NOW) == 5
    assert not is_allowed(limiter, NOW, key="another", rate=Rate(1, SECOND))


@pytest.mark.parametrize("attempts", [1, 5, RACERS - 1, RACERS, RACERS + 1])
def test_concurrent_attempts_are_limited_exactly(limiter: SqlRateLimiter, attempts: int) -> None:
    """Of twelve concurrent attempts exactly the number that the rate allows succeeds, or all of them."""
    rate = Rate(attempts, attempts * SECOND)
    assert sum(race(lambda: is_allowed(limiter, NOW, rate=rate))) == min(attempts, RACERS)


def test_used_attempts_outlive_the_engine(limiter: SqlRateLimiter) -> None:
    """After a restart the used attempts are still counted."""
    assert use_remaining(limiter, NOW) == 5
    limiter.engine.dispose()
    assert not is_allowed(SqlRateLimiter(limiter.engine), NOW)


@pytest.mark.parametrize("rate", [Rate(1, timedelta(days=365)), Rate(1_000_000, SECOND)])
def test_extreme_rates_are_exact(limiter: SqlRateLimiter, rate: Rate) -> None:
    """An interval of a year and one of a microsecond are stored exactly."""
    assert is_allowed(limiter, NOW, rate=rate)
    with transaction(limiter.engine, read_only=True) as (connection, _):
        assert connection.execute(select(throttles.c.comes_back)).scalar_one() == NOW + rate.interval


def test_attempt_is_decided_by_one_statement(limiter: SqlRateLimiter) -> None:
    """The first statement on the table is a write, so no decision is based on an earlier read."""
    executed: list[str] = []

    def listen(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "throttles" in statement:
            executed.append(statement.split(maxsplit=1)[0])

    event.listen(limiter.engine, "before_cursor_execute", listen)
    assert use_remaining(limiter, NOW) == 5
    event.remove(limiter.engine, "before_cursor_execute", listen)
    assert executed == ["INSERT"] * 6 + ["SELECT"]
