"""
Bounded attempts as rows, on both databases.
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


def admitted(limiter: SqlRateLimiter, now: datetime, *, key: str = KEY, rate: Rate = FIVE_A_MINUTE) -> bool:
    try:
        limiter.acquire(key, rate, now=now)
    except TooManyAttempts:
        return False
    return True


def left(limiter: SqlRateLimiter, now: datetime) -> int:
    """
    How many attempts are admitted at a moment, taking all of them.
    """
    taken = 0
    while taken < 100 and admitted(limiter, now):
        taken += 1
    return taken


def test_a_fresh_key_has_all_its_attempts(limiter: SqlRateLimiter) -> None:
    """Five of five, and another key has five of its own."""
    assert left(limiter, NOW) == 5
    assert admitted(limiter, NOW, key="another")


def test_an_attempt_comes_back_each_interval(limiter: SqlRateLimiter) -> None:
    """Not a microsecond earlier, and one at a time; after the window all are back, and no more."""
    assert left(limiter, NOW) == 5
    assert not admitted(limiter, NOW + 12 * SECOND - MICROSECOND)
    assert left(limiter, NOW + 12 * SECOND) == 1
    assert left(limiter, NOW + 36 * SECOND) == 2
    assert left(limiter, NOW + 96 * SECOND) == 5
    assert left(limiter, NOW + timedelta(days=400)) == 5


def test_a_refusal_takes_nothing_and_says_when_to_come_again(limiter: SqlRateLimiter) -> None:
    """In whole seconds, rounded up; whoever comes then is admitted."""
    assert left(limiter, NOW) == 5
    for late, seconds in ((0 * SECOND, 12), (MICROSECOND, 12), (11 * SECOND, 1), (11 * SECOND + MICROSECOND, 1)):
        for _ in range(3):
            with pytest.raises(TooManyAttempts) as caught:
                limiter.acquire(KEY, FIVE_A_MINUTE, now=NOW + late)
            assert caught.value.retry_after == seconds
    assert left(limiter, NOW + 12 * SECOND) == 1


def test_a_clock_that_goes_back_gives_nothing_back(limiter: SqlRateLimiter) -> None:
    """What was taken later counts at the earlier moment, and is not forgotten when time goes on."""
    assert left(limiter, NOW) == 5
    for earlier in (SECOND, timedelta(days=1)):
        assert not admitted(limiter, NOW - earlier)
    assert left(limiter, NOW + 12 * SECOND) == 1
    later = NOW + timedelta(hours=1)
    limiter.reset(KEY)
    assert admitted(limiter, later)
    assert admitted(limiter, NOW, rate=Rate(400, 4000 * SECOND))
    with transaction(limiter.engine, read_only=True) as (connection, _):
        assert connection.execute(select(throttles.c.comes_back)).scalar_one() == later + 22 * SECOND


def test_forgetting_gives_every_attempt_back(limiter: SqlRateLimiter) -> None:
    """Of this key alone; a key that nobody tried is no error."""
    assert left(limiter, NOW) == 5
    assert admitted(limiter, NOW, key="another", rate=Rate(1, SECOND))
    limiter.reset(KEY)
    limiter.reset("never-tried")
    assert left(limiter, NOW) == 5
    assert not admitted(limiter, NOW, key="another", rate=Rate(1, SECOND))


@pytest.mark.parametrize("attempts", [1, 5, RACERS - 1, RACERS, RACERS + 1])
def test_of_those_who_try_at_once_as_many_as_are_left_are_admitted(limiter: SqlRateLimiter, attempts: int) -> None:
    """Twelve try at one moment: exactly the number that the rate allows, or all of them."""
    rate = Rate(attempts, attempts * SECOND)
    assert sum(race(lambda: admitted(limiter, NOW, rate=rate))) == min(attempts, RACERS)


def test_what_is_counted_outlives_the_engine(limiter: SqlRateLimiter) -> None:
    """A process that starts anew finds the attempts taken."""
    assert left(limiter, NOW) == 5
    limiter.engine.dispose()
    assert not admitted(SqlRateLimiter(limiter.engine), NOW)


@pytest.mark.parametrize("rate", [Rate(1, timedelta(days=365)), Rate(1_000_000, SECOND)])
def test_the_bounds_of_a_rate_are_exact(limiter: SqlRateLimiter, rate: Rate) -> None:
    """A year's interval, and one of a microsecond."""
    assert admitted(limiter, NOW, rate=rate)
    with transaction(limiter.engine, read_only=True) as (connection, _):
        assert connection.execute(select(throttles.c.comes_back)).scalar_one() == NOW + rate.interval


def test_an_attempt_is_decided_by_one_statement(limiter: SqlRateLimiter) -> None:
    """Nothing is read before it is written: the first statement that names the table changes it."""
    heard: list[str] = []

    def listen(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "throttles" in statement:
            heard.append(statement.split(maxsplit=1)[0])

    event.listen(limiter.engine, "before_cursor_execute", listen)
    assert left(limiter, NOW) == 5
    event.remove(limiter.engine, "before_cursor_execute", listen)
    assert heard == ["INSERT"] * 6 + ["SELECT"]
