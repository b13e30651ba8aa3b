"""
The client of a server that may be out of order: its patience, its rests, its debts, its silence.
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

# --- at the start --------------------------------------------------------------------------------


@pytest.fixture
def locked(own: Valkey) -> Iterator[str]:
    """
    Where a server is that asks for a password.
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
    ("who", "database", "sentence"),
    [
        ("", 0, "credentials"),
        (":wrong@", 0, "credentials"),
        ("someone:hunter2@", 0, "credentials"),
        (":hunter2@", 16, "database"),
    ],
)
def test_a_server_that_refuses_us_is_named_at_the_start(
    connect: Connect, locked: str, who: str, database: int, sentence: str
) -> None:
    """Wrong credentials, none, and a database that does not exist are the operator's to mend."""
    client = connect(f"redis://{who}{locked}/{database}")
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        client.check()
    assert "hunter2" not in str(refused.value)
    assert refused.value.__context__ is None
    assert client.run(ONE, "k") is None


def test_a_server_that_takes_us_is_ready_at_the_start(connect: Connect, locked: str) -> None:
    """With the right password, in the database that was named."""
    client = connect(f"redis://:hunter2@{locked}/3")
    client.check()
    assert client.run(Script("redis.call('SET', KEYS[1], 'x', 'PX', 9000) return 1"), client.key("t", "x")) == 1
    with redis.Redis.from_url(f"redis://:hunter2@{locked}/3") as beside:
        assert beside.exists(client.key("t", "x"))


def test_a_server_that_is_not_there_does_not_hinder_the_start() -> None:
    """It is found out of order, and nothing is raised."""
    client = open_client(f"redis://127.0.0.1:{free_port()}")
    client.check()
    assert client.run(ONE, "k") is None


# --- its patience and its rests --------------------------------------------------------------------


def test_it_says_nothing_on_connecting(connect: Connect) -> None:
    """The first bytes that a server gets are the first question, so an old server or a proxy will do."""
    heard: list[bytes] = []

    def answer(request: bytes) -> bytes:
        heard.append(request)
        return b":1\r\n"

    with peer(answer) as fake:
        assert connect(f"redis://127.0.0.1:{fake.port}").run(ONE, "k") == 1
    assert len(heard) == 1
    assert b"EVALSHA" in heard[0]


def test_a_question_is_put_once(connect: Connect) -> None:
    """A server that cuts the connection instead of answering is not asked a second time."""
    with peer(lambda _: None) as fake:
        assert connect(f"redis://127.0.0.1:{fake.port}", cooldown_seconds=60.0).run(ONE, "k") is None
        assert fake.requests == 1


def test_during_a_rest_nobody_asks(connect: Connect) -> None:
    """A thousand callers after a fault put no question."""
    with peer(lambda _: None) as fake:
        client = connect(f"redis://127.0.0.1:{fake.port}", cooldown_seconds=60.0)
        with ThreadPoolExecutor(16) as pool:
            client.run(ONE, "k")
            assert set(pool.map(lambda _: client.run(ONE, "k"), range(1000))) == {None}
        assert fake.requests == 1


def test_after_a_rest_one_asks_for_all(connect: Connect) -> None:
    """While one caller tries whether the server is back, the others do without; then all ask again."""
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


def test_an_outage_is_logged_at_its_begin_and_its_end(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """Once each, by the fault's kind, without the key, the value or the driver's text."""
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


def test_no_more_ask_at_once_than_there_are_connections(connect: Connect) -> None:
    """One more does without after a short wait, and that is no fault of the server."""
    go_on, both = threading.Event(), threading.Barrier(3)

    def answer(_: bytes) -> bytes:
        if not go_on.is_set():
            both.wait(30)
            assert go_on.wait(30)
        return b":1\r\n"

    with peer(answer) as fake:
        client = connect(f"redis://127.0.0.1:{fake.port}", connections=2, wait_seconds=0.01)
        with ThreadPoolExecutor(2) as pool:
            asking = [pool.submit(client.run, ONE, "k") for _ in range(2)]
            both.wait(30)
            assert client.run(ONE, "k") is None
            go_on.set()
            assert [one.result() for one in asking] == [1, 1]
        assert client.run(ONE, "k") == 1
        assert fake.requests == 3


def test_a_connection_that_died_while_idle_is_no_outage(connect: Connect, valkey: Valkey) -> None:
    """The server may close what nobody used; the next question goes over a new connection."""
    with peer(forward_to(int(valkey.url.rpartition(":")[2]))) as between:
        client = connect(f"redis://127.0.0.1:{between.port}", cooldown_seconds=60.0)
        assert client.run(ONE, "k") == 1
        between.disconnect_all()
        between.is_down = False
        assert client.run(ONE, "k") == 1


def test_connections_are_given_back(connect: Connect, own: Valkey) -> None:
    """Many threads open at most as many as are allowed, also when some are killed; closing leaves none."""
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


# --- what it owes ----------------------------------------------------------------------------------


def test_what_is_owed_is_deleted_before_anything_else(client: Client, beside: redis.Redis) -> None:
    """The next question is put to a server without those keys, many as they are."""
    keys = [client.key("t", str(number)) for number in range(2500)]
    beside.mset(dict.fromkeys(keys, b"x"))
    for key in keys:
        client.delete_later(key)
    assert client.run(Script("return redis.call('EXISTS', KEYS[1])"), keys[-1]) == 0
    assert beside.exists(*keys) == 0


def test_what_could_not_be_deleted_is_owed(connect: Connect, own: Valkey) -> None:
    """A server that takes no changes is told again as soon as it takes them."""
    client = connect(own.url, cooldown_seconds=0.0)
    with own.client() as beside:
        beside.set(client.key("t", "x"), b"x")
        with redis_faults.read_only(own):
            client.delete(client.key("t", "x"))
            assert beside.exists(client.key("t", "x"))
        assert client.run(ONE, "k") == 1
        assert not beside.exists(client.key("t", "x"))


def test_the_oldest_debts_are_let_go() -> None:
    """Beyond the limit there are the latest; one that is owed again counts as the latest."""
    pending_deletes = PendingDeletes(limit=3)
    for key in "abcad":
        pending_deletes.add(key)
    assert list(pending_deletes.snapshot()) == ["c", "a", "d"]


def test_a_debt_that_comes_again_while_it_is_paid_stays() -> None:
    """Only what was deleted is struck."""
    pending_deletes = PendingDeletes(limit=3)
    pending_deletes.add("a")
    pending_deletes.add("b")
    due = pending_deletes.snapshot()
    pending_deletes.add("a")
    pending_deletes.confirm(due)
    assert list(pending_deletes.snapshot()) == ["a"]
