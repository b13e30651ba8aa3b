"""
The rate limiter in Redis: exact for two centuries, with keys that expire, and never without a count.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import redis

from sft_adapters.memory.rate_limiter import MemoryRateLimiter
from sft_adapters.redis.client import Client
from sft_adapters.redis.rate_limiter import RedisRateLimiter
from sft_adapters.testkit.contracts.examples import NOW
from sft_adapters.testkit.contracts.rate_limiter import MICROSECOND, THREE_A_MINUTE, a_key, admitted, how_many
from sft_core.errors import DatabaseUnavailable
from sft_core.values import Rate
from support.faults.peers import forward_to, peer
from support.faults.redis_faults import Connect
from support.servers.backends import Valkey


@pytest.fixture
def limiter(client: Client) -> RedisRateLimiter:
    return RedisRateLimiter(client, MemoryRateLimiter())


@pytest.mark.parametrize("year", [1970, 2001, 2026, 2038, 2100, 2200, 2250])
def test_microseconds_are_exact_in_any_year(limiter: RedisRateLimiter, year: int) -> None:
    """Lua's numbers keep microsecond precision."""
    now = datetime(year, 12, 31, 23, 59, 58, 999_999, tzinfo=UTC)
    rate, key = Rate(7, timedelta(days=1, microseconds=5)), a_key()
    assert how_many(limiter, key, rate, now) == 7
    assert not admitted(limiter, key, rate, now + rate.interval - MICROSECOND)
    assert admitted(limiter, key, rate, now + rate.interval)
    assert how_many(limiter, key, rate, now + rate.window) == 6


def test_two_processes_share_one_count(connect: Connect, valkey: Valkey) -> None:
    """Attempts used through one client are unavailable to the other."""
    one, other = (RedisRateLimiter(connect(valkey.url), MemoryRateLimiter()) for _ in range(2))
    key = a_key()
    assert admitted(one, key, THREE_A_MINUTE, NOW)
    assert how_many(other, key, THREE_A_MINUTE, NOW) == 2
    other.reset(key)
    assert how_many(one, key, THREE_A_MINUTE, NOW) == 3


def test_key_expires_after_an_idle_window(limiter: RedisRateLimiter, beside: redis.Redis) -> None:
    """Each successful attempt extends the key's lifetime; a refused one does not change it."""
    key = a_key()
    stored = limiter.client.key("r", key)
    for used in (1, 2, 3):
        limiter.acquire(key, THREE_A_MINUTE, now=NOW)
        remaining = int(beside.pttl(stored))
        assert 60_000 + 20_000 * (used - 1) < remaining <= 60_000 + 20_000 * used
    beside.pexpire(stored, 5000)
    assert not admitted(limiter, key, THREE_A_MINUTE, NOW)
    assert int(beside.pttl(stored)) <= 5000


@pytest.mark.parametrize("foreign", [b"", b"nan", b"inf", b"-5", b"1e300", b"0x10", b"17 ", b"9" * 17])
def test_invalid_count_is_decided_by_the_fallback(
    limiter: RedisRateLimiter, beside: redis.Redis, foreign: bytes
) -> None:
    """An invalid stored value is left unchanged, the fallback decides, and the circuit stays closed."""
    key, other = a_key(), a_key()
    beside.set(limiter.client.key("r", key), foreign)
    assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3
    assert beside.get(limiter.client.key("r", key)) == foreign
    assert how_many(limiter, other, THREE_A_MINUTE, NOW) == 3
    assert beside.exists(limiter.client.key("r", other))
    limiter.reset(key)
    assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3
    assert beside.exists(limiter.client.key("r", key))


def test_count_of_another_type_is_decided_by_the_fallback(limiter: RedisRateLimiter, beside: redis.Redis) -> None:
    """For a list under the key the fallback decides."""
    key = a_key()
    beside.rpush(limiter.client.key("r", key), "x")
    assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3


def test_repeated_outages_allow_at_most_twice_the_rate(connect: Connect, valkey: Valkey) -> None:
    """Redis and the fallback each keep their own count, so the sum is at most two full rates."""
    with peer(forward_to(int(valkey.url.rpartition(":")[2]))) as between:
        limiter = RedisRateLimiter(
            connect(f"redis://127.0.0.1:{between.port}", cooldown_seconds=0.0), MemoryRateLimiter()
        )
        key, count = a_key(), 0
        for _ in range(5):
            count += how_many(limiter, key, THREE_A_MINUTE, NOW)
            between.disconnect_all()
            count += how_many(limiter, key, THREE_A_MINUTE, NOW)
            between.is_down = False
        assert count == 6


def test_reset_during_an_outage_is_applied_in_redis(connect: Connect, valkey: Valkey) -> None:
    """A reset during an outage is applied in Redis afterwards, so earlier failures do not count."""
    with peer(forward_to(int(valkey.url.rpartition(":")[2]))) as between:
        limiter = RedisRateLimiter(
            connect(f"redis://127.0.0.1:{between.port}", cooldown_seconds=0.0), MemoryRateLimiter()
        )
        key = a_key()
        how_many(limiter, key, THREE_A_MINUTE, NOW)
        between.disconnect_all()
        limiter.reset(key)
        between.is_down = False
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3


def test_reset_also_clears_the_fallback(connect: Connect, valkey: Valkey) -> None:
    """A reset also clears the fallback, so failures of an earlier outage do not count in the next."""
    fallback = MemoryRateLimiter()
    limiter, key = RedisRateLimiter(connect(valkey.url), fallback), a_key()
    how_many(fallback, key, THREE_A_MINUTE, NOW)
    limiter.reset(key)
    assert how_many(fallback, key, THREE_A_MINUTE, NOW) == 3


class _NoDatabase:
    """
    A fallback that fails as well.
    """

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        raise DatabaseUnavailable(f"{key} {rate} {now}")

    def reset(self, key: str) -> None:
        raise DatabaseUnavailable(key)


def test_failure_of_both_raises(connect: Connect) -> None:
    """The caller gets the fallback's error, without any Redis error in its context."""
    limiter = RedisRateLimiter(connect("redis://127.0.0.1:1"), _NoDatabase())
    with pytest.raises(DatabaseUnavailable) as raised:
        limiter.acquire(a_key(), THREE_A_MINUTE, now=NOW)
    assert raised.value.__context__ is None
    with pytest.raises(DatabaseUnavailable) as raised:
        limiter.reset(a_key())
    assert raised.value.__context__ is None
