"""
The Redis adapters pass the session and rate limiter contracts whatever the server does.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import count

import pytest

from sft_adapters.memory.rate_limiter import MemoryRateLimiter
from sft_adapters.memory.sessions import MemorySessions
from sft_adapters.redis.client import Client
from sft_adapters.redis.rate_limiter import RedisRateLimiter
from sft_adapters.redis.sessions import RedisSessions
from sft_adapters.system import SystemEntropy
from sft_adapters.testkit import contracts
from sft_adapters.testkit.contracts.examples import a_user
from sft_core.users.model import User
from sft_core.values import Rate
from support.faults import redis_faults
from support.faults.peers import forward_to, peer
from support.faults.redis_faults import Connect
from support.servers.backends import Valkey
from support.servers.processes import free_port


def flushing(connect: Connect, valkey: Valkey) -> Iterator[list[Client]]:
    """
    Two clients of a server that is flushed before every third request.
    """
    assert valkey.server is not None
    ask, number = forward_to(valkey.server.port), count()

    def answer(request: bytes) -> bytes:
        if next(number) % 3 == 0:
            with redis_faults.flushed(valkey):
                pass
        return ask(request)

    with peer(answer) as between:
        yield [connect(f"redis://127.0.0.1:{between.port}", cooldown_seconds=1.0) for _ in range(2)]


class _UnderFaults:
    """
    Provides `clients`, two of one server, which has the fault that the parameter names.
    """

    @pytest.fixture
    def clients(self, request: pytest.FixtureRequest, connect: Connect, own: Valkey) -> Iterator[list[Client]]:
        if request.param == "up":
            yield [connect(own.url) for _ in range(2)]
        elif request.param == "absent":
            yield [connect(f"redis://127.0.0.1:{free_port()}") for _ in range(2)]
        elif request.param == "flushing":
            yield from flushing(connect, own)
        else:
            with (redis_faults.PERSISTENT | redis_faults.TRANSIENT)[request.param](own):
                yield [connect(own.url, timeout_seconds=0.1, cooldown_seconds=1.0) for _ in range(2)]


@pytest.mark.parametrize(
    "clients",
    ["up", "absent", "flushing", "hanging", "full", "read-only", "evicting"],
    indirect=True,
)
class TestRedisSessions(_UnderFaults, contracts.SessionStoreContract):
    """
    Sessions in front of a durable store.
    """

    @pytest.fixture
    def sessions(self, clients: list[Client]) -> RedisSessions:
        return RedisSessions(clients[0], MemorySessions(), SystemEntropy())

    @pytest.fixture
    def other_sessions(self, clients: list[Client], sessions: RedisSessions) -> RedisSessions:
        return RedisSessions(clients[1], sessions.durable, SystemEntropy())

    @pytest.fixture
    def user(self) -> User:
        return a_user()


class TestRedisSessionsWithOneProcessCutOff(contracts.SessionStoreContract):
    """
    Sessions of two processes, one without Redis: the other may be stale for the lifetime of a cache entry.
    """

    entry_seconds = 0.3
    # The bound is ten times the entry's lifetime, to allow for the server's own clock and a busy machine.
    stale_seconds = 10 * entry_seconds

    @pytest.fixture
    def sessions(self, connect: Connect) -> RedisSessions:
        client = connect(f"redis://127.0.0.1:{free_port()}")
        return RedisSessions(client, MemorySessions(), SystemEntropy())

    @pytest.fixture
    def other_sessions(self, connect: Connect, valkey: Valkey, sessions: RedisSessions) -> RedisSessions:
        times = {"entry_seconds": self.entry_seconds, "lease_seconds": 0.1}
        return RedisSessions(connect(valkey.url), sessions.durable, SystemEntropy(), **times)

    @pytest.fixture
    def user(self) -> User:
        return a_user()


@pytest.mark.parametrize("clients", ["absent", "full", "read-only"], indirect=True)
class TestRateLimiterWithoutRedis(_UnderFaults, contracts.RateLimiterContract):
    """
    A rate limiter whose fallback decides.
    """

    @pytest.fixture
    def limiter(self, clients: list[Client]) -> RedisRateLimiter:
        return RedisRateLimiter(clients[0], MemoryRateLimiter())

    @pytest.fixture
    def other_limiter(self, clients: list[Client], limiter: RedisRateLimiter) -> RedisRateLimiter:
        return RedisRateLimiter(clients[1], limiter.fallback)


class _UnexpectedLimiter:
    """
    A rate limiter that must not be called.
    """

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        raise AssertionError(f"Redis should have decided {key} at {rate} {now}")

    def reset(self, key: str) -> None:
        """
        Accept the call: this limiter has no state.
        """


class TestRedisRateLimiter(contracts.RateLimiterContract):
    """
    A rate limiter that Redis alone decides.
    """

    @pytest.fixture
    def limiter(self, connect: Connect, valkey: Valkey) -> RedisRateLimiter:
        return RedisRateLimiter(connect(valkey.url), _UnexpectedLimiter())

    @pytest.fixture
    def other_limiter(self, connect: Connect, valkey: Valkey) -> RedisRateLimiter:
        return RedisRateLimiter(connect(valkey.url), _UnexpectedLimiter())
