"""
Every fault on a real server: guarantees hold, and calls stay fast.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sft_adapters.memory.rate_limiter import MemoryRateLimiter
from sft_adapters.redis.client import Client, Script
from sft_adapters.redis.rate_limiter import RedisRateLimiter
from sft_adapters.redis.sessions import RedisSessions
from sft_adapters.system import SystemEntropy
from sft_adapters.testkit.contracts.examples import NOW, a_session, a_user
from sft_adapters.testkit.contracts.rate_limiter import THREE_A_MINUTE, a_key, admitted, how_many
from sft_core.users.model import Session
from support.faults import redis_faults
from support.faults.redis_faults import Connect
from support.faults.session_stores import CountingSessions
from support.servers.backends import Valkey

ONE = Script("return 1")
FAULTS = redis_faults.PERSISTENT | redis_faults.TRANSIENT
TIMEOUT_SECONDS = 0.3


@pytest.fixture
def durable() -> CountingSessions:
    return CountingSessions()


@pytest.fixture
def impatient_client(connect: Connect, own: Valkey) -> Client:
    return connect(own.url, timeout_seconds=TIMEOUT_SECONDS, cooldown_seconds=0.2)


@pytest.fixture
def sessions(impatient_client: Client, durable: CountingSessions) -> RedisSessions:
    return RedisSessions(impatient_client, durable, SystemEntropy())


def opened(sessions: RedisSessions) -> Session:
    session = a_session(a_user())
    sessions.open(session)
    sessions.get(session.id)
    return session


def is_revoked(sessions: RedisSessions, session: Session) -> bool:
    found = sessions.get(session.id)
    assert found is not None
    return found.revoked_at is not None


def wait_until_used(client: Client) -> None:
    """
    Wait until the client uses its server again, as any later request would.
    """
    end = time.monotonic() + 10
    while client.run(ONE, "k") is None:
        assert time.monotonic() < end, "the client does not use its server again"
        time.sleep(0.01)


def wait_until_cached(sessions: RedisSessions, durable: CountingSessions, session: Session) -> None:
    """
    Wait until a session is read without the durable store.
    """
    end, before = time.monotonic() + 10, -1
    while durable.reads != before:
        assert time.monotonic() < end, "the cache is not used again"
        before = durable.reads
        assert sessions.get(session.id) == session


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_revoked_session_stays_revoked_through_a_fault(
    connect: Connect, own: Valkey, sessions: RedisSessions, durable: CountingSessions, fault: redis_faults.Fault
) -> None:
    """Revoked before, during or after a fault, no process sees a session live again, and the cache is used again."""
    other = RedisSessions(connect(own.url, timeout_seconds=TIMEOUT_SECONDS), durable, SystemEntropy())
    before, during, after, kept = (opened(sessions) for _ in range(4))
    sessions.revoke(before.id, now=NOW)
    with fault(own):
        sessions.revoke(during.id, now=NOW)
        assert is_revoked(other, during)
        for _ in range(3):
            assert is_revoked(sessions, before)
            assert is_revoked(sessions, during)
            assert sessions.get(after.id) == after
    wait_until_used(sessions.client)
    sessions.revoke(after.id, now=NOW)
    for reader in (sessions, other):
        assert all(is_revoked(reader, session) for session in (before, during, after))
    wait_until_cached(sessions, durable, kept)


@pytest.mark.parametrize(
    ("fault", "remaining"),
    [
        (redis_faults.down, {3}),
        (redis_faults.hanging, {1, 2}),  # the timed-out attempt may have been counted later
        (redis_faults.full, {2}),
        (redis_faults.read_only, {2}),
        (redis_faults.short_of_replicas, {2}),
    ],
    ids=redis_faults.PERSISTENT,
)
def test_attempts_are_limited_during_and_after_a_fault(
    own: Valkey, impatient_client: Client, fault: redis_faults.Fault, remaining: set[int]
) -> None:
    """During a fault the fallback allows one full rate; after it the server continues with its own count."""
    limiter, key = RedisRateLimiter(impatient_client, MemoryRateLimiter()), a_key()
    assert admitted(limiter, key, THREE_A_MINUTE, NOW)
    with fault(own):
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3
    wait_until_used(impatient_client)
    assert how_many(limiter, key, THREE_A_MINUTE, NOW) in remaining


@pytest.mark.parametrize(
    ("fault", "allowed"),
    [(redis_faults.flushed, 3), (redis_faults.scripts_flushed, 0), (redis_faults.loading, 3)],
    ids=["flushed", "scripts flushed", "loading"],
)
def test_transient_fault_allows_at_most_one_more_rate(
    own: Valkey, impatient_client: Client, fault: redis_faults.Fault, allowed: int
) -> None:
    """A server that lost its counts, or is still loading, allows at most one more full rate."""
    limiter, key = RedisRateLimiter(impatient_client, MemoryRateLimiter()), a_key()
    assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3
    with fault(own):
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == allowed


def test_server_down_at_start_is_used_once_it_is_up(connect: Connect, own: Valkey, durable: CountingSessions) -> None:
    """A client created before its server was reachable uses it later, without being created again."""
    with redis_faults.down(own):
        sessions = RedisSessions(connect(own.url), durable, SystemEntropy())
        sessions.client.check()
        session = opened(sessions)
        assert sessions.get(session.id) == session
        assert durable.reads == 2
    wait_until_cached(sessions, durable, session)


def test_hanging_server_delays_only_one_caller(connect: Connect, own: Valkey, durable: CountingSessions) -> None:
    """The first call ends within twice the timeout, and later calls do not wait."""
    client = connect(own.url, timeout_seconds=TIMEOUT_SECONDS, cooldown_seconds=60.0)
    sessions = RedisSessions(client, durable, SystemEntropy())
    session = opened(sessions)
    with redis_faults.hanging(own):
        begin = time.monotonic()
        assert sessions.get(session.id) == session
        assert time.monotonic() - begin < 2 * TIMEOUT_SECONDS
        begin = time.monotonic()
        assert {client.run(ONE, "k") for _ in range(1000)} == {None}
        assert time.monotonic() - begin < 2 * TIMEOUT_SECONDS


def test_many_threads_do_not_queue_behind_a_hanging_server(
    connect: Connect, own: Valkey, durable: CountingSessions
) -> None:
    """64 threads on four connections: 640 reads and attempts end in seconds, where one by one they took 48."""
    client = connect(own.url, timeout_seconds=TIMEOUT_SECONDS, cooldown_seconds=60.0, wait_seconds=0.05, connections=4)
    sessions, limiter = RedisSessions(client, durable, SystemEntropy()), RedisRateLimiter(client, MemoryRateLimiter())
    session, key, together = opened(sessions), a_key(), threading.Barrier(64)

    def work(_: int) -> int:
        together.wait(30)
        assert all(sessions.get(session.id) == session for _ in range(5))
        return sum(admitted(limiter, key, THREE_A_MINUTE, NOW) for _ in range(5))

    with redis_faults.hanging(own), ThreadPoolExecutor(64) as pool:
        begin = time.monotonic()
        assert sum(pool.map(work, range(64))) == 3
        assert time.monotonic() - begin < 10


def test_lost_scripts_are_sent_again(own: Valkey, impatient_client: Client) -> None:
    """The script's text is sent again within the same call, which is no outage."""
    limiter, key = RedisRateLimiter(impatient_client, MemoryRateLimiter()), a_key()
    assert admitted(limiter, key, THREE_A_MINUTE, NOW)
    with redis_faults.scripts_flushed(own):
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 2
        with own.client() as beside:
            assert beside.get(impatient_client.key("r", key)) is not None


def test_full_server_still_stores_a_tombstone(own: Valkey, sessions: RedisSessions) -> None:
    """A tombstone fits even on a full server, so no other process sees the session once there is memory."""
    session = opened(sessions)
    with redis_faults.full(own):
        sessions.revoke(session.id, now=NOW)
        with own.client() as beside:
            assert beside.get(sessions.client.key("s", session.id.bytes.hex())) == b"B"
