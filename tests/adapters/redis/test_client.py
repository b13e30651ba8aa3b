"""
The Redis client on a failing server: timeouts, circuit breaker, pending deletes, logging.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from sft_adapters.redis.client import Client, Script, open_client
from sft_adapters.redis.pending_deletes import PendingDeletes
from sft_core.errors import ConfigurationError
from support.faults import redis_faults
from support.faults.peers import forward_to, peer
from support.faults.redis_faults import Connect
from support.servers.backends import Valkey
from support.servers.processes import free_port

ONE = Script("return 1")

# --- start-up ------------------------------------------------------------------------------------


@pytest.fixture
def password_protected(own: Valkey) -> Iterator[str]:
    """
    The address of a server that requires a password.
    """
    assert own.server is not None
    at = f"127.0.0.1:{own.server.port}"
    with own.client() as client:
        client.config_set("requirepass", "hunter2")
    try:
        yield at
    finally:
        with redis.Redis.from_url(f"redis://:hunter2@{at}") as client:
            client.config_set("requirepass", "")


@pytest.mark.parametrize(
    ("credentials", "database", "sentence"),
    [
        ("", 0, "credentials"),
        (":wrong@", 0, "credentials"),
        ("someone:hunter2@", 0, "credentials"),
        (":hunter2@", 16, "database"),
    ],
)
def test_refusing_server_is_reported_at_start(
    connect: Connect, password_protected: str, credentials: str, database: int, sentence: str
) -> None:
    """Wrong or missing credentials and an unknown database are configuration errors."""
    client = connect(f"redis://{credentials}{password_protected}/{database}")
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        client.check()
    assert "hunter2" not in str(refused.value)
    assert refused.value.__context__ is None
    assert client.run(ONE, "k") is None


def test_accepting_server_is_ready_at_start(connect: Connect, password_protected: str) -> None:
    """The start succeeds with the right password, in the configured database."""
    client = connect(f"redis://:hunter2@{password_protected}/3")
    client.check()
    assert client.run(Script("redis.call('SET', KEYS[1], 'x', 'PX', 9000) return 1"), client.key("t", "x")) == 1
    with redis.Redis.from_url(f"redis://:hunter2@{password_protected}/3") as beside:
        assert beside.exists(client.key("t", "x"))


def test_unreachable_server_does_not_prevent_the_start() -> None:
    """The server is found unavailable, and no error is raised."""
    client = open_client(f"redis://127.0.0.1:{free_port()}")
    client.check()
    assert client.run(ONE, "k") is None


# --- timeouts and circuit breaker ------------------------------------------------------------------


def test_connecting_sends_nothing(connect: Connect) -> None:
    """The first bytes sent are the first request, so an old server or a proxy works."""
    received: list[bytes] = []

    def answer(request: bytes) -> bytes:
        received.append(request)
        return b":1\r\n"

    with peer(answer) as fake:
        assert connect(f"redis://127.0.0.1:{fake.port}").run(ONE, "k") == 1
    assert len(received) == 1
    assert b"EVALSHA" in received[0]


def test_request_is_sent_once(connect: Connect) -> None:
    """A request is not repeated if the server closes the connection instead of responding."""
    with peer(lambda _: None) as fake:
        assert connect(f"redis://127.0.0.1:{fake.port}", cooldown_seconds=60.0).run(ONE, "k") is None
        assert fake.requests == 1


def test_open_circuit_sends_no_request(connect: Connect) -> None:
    """While the circuit is open a thousand callers send no request."""
    with peer(lambda _: None) as fake:
        client = connect(f"redis://127.0.0.1:{fake.port}", cooldown_seconds=60.0)
        with ThreadPoolExecutor(16) as pool:
            client.run(ONE, "k")
            assert set(pool.map(lambda _: client.run(ONE, "k"), range(1000))) == {None}
        assert fake.requests == 1


def test_one_caller_probes_after_the_cooldown(connect: Connect) -> None:
    """One caller probes whether the server is back while the others skip it; then all use it again."""
    may_answer, asked = threading.Event(), threading.Event()
    replies: list[bytes | None] = [None]

    def answer(_: bytes) -> bytes | None:
        if replies:
            return replies.pop()
        asked.set()
        assert may_answer.wait(30)
        return b":1\r\n"

    with peer(answer) as fake:
        client = connect(f"redis://127.0.0.1:{fake.port}", cooldown_seconds=0.2)
        assert client.run(ONE, "k") is None
        time.sleep(0.25)
        with ThreadPoolExecutor(1) as pool:
            probe = pool.submit(client.run, ONE, "k")
            assert asked.wait(10)
            assert client.run(ONE, "k") is None
            may_answer.set()
            assert probe.result() == 1
        assert client.run(ONE, "k") == 1


def test_outage_is_logged_at_its_start_and_end(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """One record each, with the kind of fault, without the key, the value or the driver's text."""
    up = [False]
    with peer(lambda _: b":1\r\n" if up[0] else b"-OOM secret text\r\n") as fake, caplog.at_level(logging.INFO):
        client = connect(f"redis://127.0.0.1:{fake.port}", cooldown_seconds=0.0)
        for _ in range(5):
            client.run(ONE, "the-key", b"the-value")
        up[0] = True
        for _ in range(5):
            client.run(ONE, "the-key", b"the-value")
    ours = [record for record in caplog.records if record.name == "sft.redis"]
    assert [record.getMessage() for record in ours] == [
        "Redis is not used because it failed (OutOfMemoryError): the database takes its place",
        "Redis has recovered and is used again",
    ]
    assert {record.levelname for record in ours} == {"WARNING"}
    assert not any(record.exc_info for record in ours)


def test_concurrent_requests_are_limited_by_the_pool(connect: Connect) -> None:
    """A caller beyond the pool size gets None after a short wait, which does not open the circuit."""
    may_continue, all_waiting = threading.Event(), threading.Barrier(3)

    def answer(_: bytes) -> bytes:
        if not may_continue.is_set():
            all_waiting.wait(30)
            assert may_continue.wait(30)
        return b":1\r\n"

    with peer(answer) as fake:
        client = connect(f"redis://127.0.0.1:{fake.port}", connections=2, wait_seconds=0.01)
        with ThreadPoolExecutor(2) as pool:
            asking = [pool.submit(client.run, ONE, "k") for _ in range(2)]
            all_waiting.wait(30)
            assert client.run(ONE, "k") is None
            may_continue.set()
            assert [one.result() for one in asking] == [1, 1]
        assert client.run(ONE, "k") == 1
        assert fake.requests == 3


def test_connection_closed_while_idle_is_no_outage(connect: Connect, valkey: Valkey) -> None:
    """The server may close idle connections; the next request uses a new one."""
    with peer(forward_to(int(valkey.url.rpartition(":")[2]))) as between:
        client = connect(f"redis://127.0.0.1:{between.port}", cooldown_seconds=60.0)
        assert client.run(ONE, "k") == 1
        between.disconnect_all()
        between.is_down = False
        assert client.run(ONE, "k") == 1


def test_connections_are_returned_to_the_pool(connect: Connect, own: Valkey) -> None:
    """Many threads open at most the configured number, even after kills; closing leaves none."""
    client = connect(own.url, connections=4, cooldown_seconds=0.0)
    with own.client() as beside, ThreadPoolExecutor(16) as pool:
        for _ in range(5):
            list(pool.map(lambda _: client.run(ONE, "k"), range(100)))
            assert int(beside.info("clients")["connected_clients"]) <= 1 + 4
            beside.client_kill_filter(_type="normal", skipme=True)
        assert set(pool.map(lambda _: client.run(ONE, "k"), range(100))) == {1}
        client.close()
        end = time.monotonic() + 10
        while int(beside.info("clients")["connected_clients"]) > 1:
            assert time.monotonic() < end, "a connection is still open"
            time.sleep(0.01)


# --- pending deletes -------------------------------------------------------------------------------


def test_pending_deletes_precede_the_next_request(client: Client, beside: redis.Redis) -> None:
    """Pending keys are deleted before the next request, however many there are."""
    keys = [client.key("t", str(number)) for number in range(2500)]
    beside.mset(dict.fromkeys(keys, b"x"))
    for key in keys:
        client.delete_later(key)
    assert client.run(Script("return redis.call('EXISTS', KEYS[1])"), keys[-1]) == 0
    assert beside.exists(*keys) == 0


def test_failed_delete_is_pending(connect: Connect, own: Valkey) -> None:
    """A delete refused by a read-only server is repeated as soon as the server accepts it."""
    client = connect(own.url, cooldown_seconds=0.0)
    with own.client() as beside:
        beside.set(client.key("t", "x"), b"x")
        with redis_faults.read_only(own):
            client.delete(client.key("t", "x"))
            assert beside.exists(client.key("t", "x"))
        assert client.run(ONE, "k") == 1
        assert not beside.exists(client.key("t", "x"))


def test_oldest_pending_deletes_are_dropped() -> None:
    """Beyond the limit the oldest are dropped; adding a key again makes it the latest."""
    pending_deletes = PendingDeletes(limit=3)
    for key in "abcad":
        pending_deletes.add(key)
    assert list(pending_deletes.snapshot()) == ["c", "a", "d"]


def test_key_added_again_during_its_delete_stays_pending() -> None:
    """A confirmation removes only keys that were not added again since the snapshot."""
    pending_deletes = PendingDeletes(limit=3)
    pending_deletes.add("a")
    pending_deletes.add("b")
    snapshot = pending_deletes.snapshot()
    pending_deletes.add("a")
    pending_deletes.confirm(snapshot)
    assert list(pending_deletes.snapshot()) == ["a"]
