"""
A real server put out of order in every way that one is: what is promised stays, and stays quick.
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
def hasty(connect: Connect, own: Valkey) -> Client:
    return connect(own.url, timeout_seconds=TIMEOUT_SECONDS, cooldown_seconds=0.2)


@pytest.fixture
def sessions(hasty: Client, durable: CountingSessions) -> RedisSessions:
    return RedisSessions(hasty, durable, SystemEntropy())


def opened(sessions: RedisSessions) -> Session:
    session = a_session(a_user())
    sessions.open(session)
    sessions.get(session.id)
    return session


def is_revoked(sessions: RedisSessions, session: Session) -> bool:
    found = sessions.get(session.id)
    assert found is not None
    return found.revoked_at is not None


def until_it_answers(client: Client) -> None:
    """
    Wait until a client asks its server again, as any later request would make it.
    """
    end = time.monotonic() + 10
    while client.run(ONE, "k") is None:
        assert time.monotonic() < end, "the client does not come back to its server"
        time.sleep(0.01)


def until_cached(sessions: RedisSessions, durable: CountingSessions, session: Session) -> None:
    """
    Wait until a session is answered without the durable store.
    """
    end, before = time.monotonic() + 10, -1
    while durable.reads != before:
        assert time.monotonic() < end, "the cache is not used again"
        before = durable.reads
        assert sessions.get(session.id) == session


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_revoked_session_stays_revoked(
    connect: Connect, own: Valkey, sessions: RedisSessions, durable: CountingSessions, fault: redis_faults.Fault
) -> None:
    """Revoked before, during and after a fault: no process ever sees it live again, and the cache comes back."""
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
    until_it_answers(sessions.client)
    sessions.revoke(after.id, now=NOW)
    for reader in (sessions, other):
        assert all(is_revoked(reader, session) for session in (before, during, after))
    until_cached(sessions, durable, kept)


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        (redis_faults.down, {3}),
        (redis_faults.hanging, {1, 2}),  # the attempt that was given up may have counted later
        (redis_faults.full, {2}),
        (redis_faults.read_only, {2}),
        (redis_faults.short_of_replicas, {2}),
    ],
    ids=redis_faults.PERSISTENT,
)
def test_attempts_are_counted_during_a_fault_and_after_it(
    own: Valkey, hasty: Client, fault: redis_faults.Fault, left: set[int]
) -> None:
    """Never open: during it the fallback admits one full rate, and after it the server goes on with its own count."""
    limiter, key = RedisRateLimiter(hasty, MemoryRateLimiter()), a_key()
    assert admitted(limiter, key, THREE_A_MINUTE, NOW)
    with fault(own):
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3
    until_it_answers(hasty)
    assert how_many(limiter, key, THREE_A_MINUTE, NOW) in left


@pytest.mark.parametrize(
    ("fault", "more"),
    [(redis_faults.flushed, 3), (redis_faults.scripts_flushed, 0), (redis_faults.loading, 3)],
    ids=["flushed", "scripts flushed", "loading"],
)
def test_what_passes_gives_away_one_full_rate_at_most(
    own: Valkey, hasty: Client, fault: redis_faults.Fault, more: int
) -> None:
    """A server that has lost its counts, or is not ready, admits as many again as the rate allows, and no more."""
    limiter, key = RedisRateLimiter(hasty, MemoryRateLimiter()), a_key()
    assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3
    with fault(own):
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == more


def test_down_at_the_start_it_is_used_once_it_is_there(
    connect: Connect, own: Valkey, durable: CountingSessions
) -> None:
    """A client that was made before its server was up needs nobody to make it anew."""
    with redis_faults.down(own):
        sessions = RedisSessions(connect(own.url), durable, SystemEntropy())
        sessions.client.check()
        session = opened(sessions)
        assert sessions.get(session.id) == session
        assert durable.reads == 2
    until_cached(sessions, durable, session)


def test_a_hanging_server_costs_one_caller_one_timeout(
    connect: Connect, own: Valkey, durable: CountingSessions
) -> None:
    """The first call ends in less than twice the timeout, and those after it take no time for it."""
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


def test_many_threads_do_not_pile_up_behind_a_hanging_server(
    connect: Connect, own: Valkey, durable: CountingSessions
) -> None:
    """64 threads with four connections: 640 reads and attempts end in seconds, where one by one they took 48."""
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


def test_a_server_that_lost_its_scripts_gets_them_again(own: Valkey, hasty: Client) -> None:
    """It is sent the text with the question, in the same call, and that is no outage."""
    limiter, key = RedisRateLimiter(hasty, MemoryRateLimiter()), a_key()
    assert admitted(limiter, key, THREE_A_MINUTE, NOW)
    with redis_faults.scripts_flushed(own):
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 2
        with own.client() as beside:
            assert beside.get(hasty.key("r", key)) is not None


def test_a_full_server_still_forgets_what_is_revoked(own: Valkey, sessions: RedisSessions) -> None:
    """A bar fits even where nothing else does, so another process cannot see the session once there is room."""
    session = opened(sessions)
    with redis_faults.full(own):
        sessions.revoke(session.id, now=NOW)
        with own.client() as beside:
            assert beside.get(sessions.client.key("s", session.id.bytes.hex())) == b"B"
