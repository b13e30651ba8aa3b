"""
A peer that is no Redis server, or that fails in the middle of a response.
"""

from __future__ import annotations

import pytest

from sft_adapters.memory.rate_limiter import MemoryRateLimiter
from sft_adapters.memory.sessions import MemorySessions
from sft_adapters.redis.rate_limiter import RedisRateLimiter
from sft_adapters.redis.sessions import RedisSessions
from sft_adapters.system import SystemEntropy
from sft_adapters.testkit.contracts.examples import NOW, a_session, a_user
from sft_adapters.testkit.contracts.rate_limiter import THREE_A_MINUTE, a_key, how_many
from support.faults.peers import forward_to, peer
from support.faults.redis_faults import Connect
from support.servers.backends import Valkey

NONSENSE = [
    b"garbage\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x15\x03\x03\x00\x02\x02\x46",
    b"\xff\xfe\xfd\r\n",
    b"\r\n",
    b"+OK\r\n",
    b"+\xff\xfe\r\n",
    b"-\r\n",
    b"-MOVED nowhere\r\n",
    b"-ASK\r\n",
    b"-ERR secret\r\n",
    b"-NOSCRIPT again and again\r\n",
    b":\r\n",
    b":seven\r\n",
    b":9223372036854775807\r\n",
    b":-1\r\n",
    b"$-1\r\n",
    b"$-2\r\n",
    b"$abc\r\n",
    b"$0\r\n\r\n",
    b"$5\r\nS1abc\r\n",
    b"$3\r\ntoo long for three\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*2\r\n:1\r\n$1\r\nx\r\n",
    b"*1\r\n" * 3000 + b":1\r\n",
    b"%1\r\n+a\r\n:1\r\n",
    b"#t\r\n",
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda value: repr(value[:20]))
def test_invalid_reply_is_ignored(connect: Connect, nonsense: bytes) -> None:
    """For any reply sessions come from the durable store, attempts are counted, and deletes stay pending."""
    with peer(lambda _: nonsense) as fake:
        client = connect(f"redis://127.0.0.1:{fake.port}", timeout_seconds=0.05, cooldown_seconds=0.0)
        sessions = RedisSessions(client, MemorySessions(), SystemEntropy())
        session = a_session(a_user())
        sessions.open(session)
        assert sessions.get(session.id) == session
        assert sessions.rotate(session.id, generation=0, now=NOW, expires_at=session.expires_at)
        sessions.revoke(session.id, now=NOW)
        found = sessions.get(session.id)
        assert found is not None
        assert found.revoked_at == NOW
        assert (
            nonsense.startswith(b":") or client.key("s", session.id.bytes.hex()) in client._pending_deletes.snapshot()
        )
        limiter, key = RedisRateLimiter(client, MemoryRateLimiter()), a_key()
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3
        limiter.reset(key)
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3


def test_truncated_reply_is_ignored(connect: Connect, valkey: Valkey) -> None:
    """Cut after any byte, the durable store is used, and the next reply is read correctly."""
    forward, cut_after = forward_to(int(valkey.url.rpartition(":")[2])), [10_000]

    def reply(request: bytes) -> bytes | None:
        return forward(request)[: cut_after[0]]

    with peer(reply, cuts_after_reply=lambda: cut_after[0] < 10_000) as fake:
        client = connect(f"redis://127.0.0.1:{fake.port}", cooldown_seconds=0.0)
        sessions = RedisSessions(client, MemorySessions(), SystemEntropy())
        one, other = a_session(a_user()), a_session(a_user())
        for session in (one, other):
            sessions.open(session)
            sessions.get(session.id)
        for cut_after[0] in range(74):
            assert sessions.get(one.id) == one
        cut_after[0] = 10_000
        assert sessions.get(other.id) == other
        assert sessions.get(one.id) == one
