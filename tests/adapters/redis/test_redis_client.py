"""
The client of a server that may be out of order: its URL, its patience, its rests, its silence.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from sft_adapters.memory.limiter import MemoryRateLimiter
from sft_adapters.memory.sessions import MemorySessions
from sft_adapters.redis import address
from sft_adapters.redis.client import Client, Script, open_client
from sft_adapters.redis.debts import Debts
from sft_adapters.redis.limiter import RedisRateLimiter
from sft_adapters.redis.sessions import RedisSessions
from sft_adapters.system import SystemEntropy
from sft_adapters.testkit.contracts.examples import NOW, a_session, a_user
from sft_adapters.testkit.contracts.limits import THREE_A_MINUTE, a_key, how_many
from sft_core.errors import ConfigurationError
from support import redis_faults
from support.peers import peer, server_at
from support.processes import free_port
from support.redis_faults import Connect
from support.servers import Valkey

ONE = Script("return 1")

# --- its URL -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", {"host": "cache", "port": 6379, "db": 0, "username": None, "password": None}),
        ("redis://cache:7000/3", {"host": "cache", "port": 7000, "db": 3}),
        ("redis://[::1]:7000/", {"host": "::1", "port": 7000, "db": 0}),
        ("redis://:p%40s%2Fs@cache", {"username": None, "password": "p@s/s"}),
        ("redis://sft:secret@cache", {"username": "sft", "password": "secret"}),
        ("rediss://cache", {"ssl_cert_reqs": "required", "ssl_check_hostname": True}),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock", "db": 0}),
        ("unix://:secret@/run/redis.sock", {"path": "/run/redis.sock", "password": "secret"}),
    ],
)
def test_a_url_says_where_the_server_is(url: str, expected: dict[str, object]) -> None:
    """Each part is read, and what is written as %XX is what it stands for."""
    options = address.parse(url).options
    assert {name: options[name] for name in expected} == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cache:6379",
        "http://:hunter2@cache",
        "redis://",
        "redis:///1",
        "redis://:hunter2@",
        "redis://:hunter2@cache:port",
        "redis://:hunter2@cache:99999",
        "redis://:hun/ter2@cache",
        "redis://:6/hunter2@cache",
        "redis://:hun#ter2@cache",
        "redis://:hun?ter2@cache",
        "redis://hunter2@cache",
        "redis://:hunter2@[::1",
        "redis://:hunter2@cache/one",
        "redis://:hunter2@cache/1/2",
        "redis://:hunter2@cache/-1",
        "redis://:hunter2@cache/١",
        "redis://:hunter2@cache/?db=1",
        "redis://:hunter2@cache?socket_timeout=60",
        "redis://:hunter2@ca che",
        "redis://:hunter2@cache\n",
        "rediss://:hunter2@cache?ssl_cert_reqs=none",
        "rediss://:hunter2@cache?ssl_ca_certs=/nowhere/ca.pem",
        "unix://:hunter2@cache/run/redis.sock",
        "unix://",
        "unix:///run/redis.sock?db=1&password=hunter2",
    ],
)
def test_a_malformed_url_is_refused_without_being_shown(url: str) -> None:
    """The error names the setting; no part of the password is in it or in its traceback."""
    with pytest.raises(ConfigurationError, match="REDIS_URL") as refused:
        open_client(url)
    shown = str(refused.value) + "".join(traceback.format_exception_only(refused.value))
    assert not any(part in shown for part in ("hunter2", "hun", "ter2"))
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@given(st.text(max_size=30) | st.text(max_size=30).map(lambda rest: f"redis://{rest}"))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    """There is no third way."""
    try:
        told = address.parse(text).options["host"]
    except ConfigurationError as refused:
        told = refused.detail.partition("REDIS_URL ")[2]
    assert told


def test_the_url_and_the_setting_name_one_database() -> None:
    """Either may name it, both if they agree."""
    assert address.parse("redis://cache/2").options["db"] == 2
    assert address.parse("redis://cache", database=2).options["db"] == 2
    assert address.parse("redis://cache/2", database=2).options["db"] == 2
    assert address.parse("unix:///run/redis.sock", database=2).options["db"] == 2
    with pytest.raises(ConfigurationError, match="two databases"):
        address.parse("redis://cache/2", database=3)


def test_files_for_tls_are_named_in_the_query(tmp_path: Path) -> None:
    """A certificate authority of one's own is a file that is there."""
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    options = address.parse(f"rediss://cache?ssl_ca_certs={authority}").options
    assert options["ssl_ca_certs"] == str(authority)
    assert options["ssl_cert_reqs"] == "required"


def test_the_password_is_in_no_repr() -> None:
    """Neither the address nor the client shows it."""
    url = "redis://sft:hunter2@cache"
    assert "hunter2" not in repr(address.parse(url)) + repr(open_client(url))


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
    assert client.ask(ONE, "k") is None


def test_a_server_that_takes_us_is_ready_at_the_start(connect: Connect, locked: str) -> None:
    """With the right password, in the database that was named."""
    client = connect(f"redis://:hunter2@{locked}/3")
    client.check()
    assert client.ask(Script("redis.call('SET', KEYS[1], 'x', 'PX', 9000) return 1"), client.key("t", "x")) == 1
    with redis.Redis.from_url(f"redis://:hunter2@{locked}/3") as beside:
        assert beside.exists(client.key("t", "x"))


def test_a_server_that_is_not_there_does_not_hinder_the_start() -> None:
    """It is found out of order, and nothing is raised."""
    client = open_client(f"redis://127.0.0.1:{free_port()}")
    client.check()
    assert client.ask(ONE, "k") is None


# --- its patience and its rests --------------------------------------------------------------------


def test_it_says_nothing_on_connecting(connect: Connect) -> None:
    """The first bytes that a server gets are the first question, so an old server or a proxy will do."""
    heard: list[bytes] = []

    def answer(request: bytes) -> bytes:
        heard.append(request)
        return b":1\r\n"

    with peer(answer) as fake:
        assert connect(f"redis://127.0.0.1:{fake.port}").ask(ONE, "k") == 1
    assert len(heard) == 1
    assert b"EVALSHA" in heard[0]


def test_a_question_is_put_once(connect: Connect) -> None:
    """A server that cuts the connection instead of answering is not asked a second time."""
    with peer(lambda _: None) as fake:
        assert connect(f"redis://127.0.0.1:{fake.port}", rest_seconds=60.0).ask(ONE, "k") is None
        assert fake.requests == 1


def test_during_a_rest_nobody_asks(connect: Connect) -> None:
    """A thousand callers after a fault put no question."""
    with peer(lambda _: None) as fake:
        client = connect(f"redis://127.0.0.1:{fake.port}", rest_seconds=60.0)
        with ThreadPoolExecutor(16) as pool:
            client.ask(ONE, "k")
            assert set(pool.map(lambda _: client.ask(ONE, "k"), range(1000))) == {None}
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
        client = connect(f"redis://127.0.0.1:{fake.port}", rest_seconds=0.2)
        assert client.ask(ONE, "k") is None
        time.sleep(0.25)
        with ThreadPoolExecutor(1) as pool:
            probe = pool.submit(client.ask, ONE, "k")
            assert asked.wait(10)
            assert client.ask(ONE, "k") is None
            may_answer.set()
            assert probe.result() == 1
        assert client.ask(ONE, "k") == 1


def test_an_outage_is_logged_at_its_begin_and_its_end(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """Once each, by the fault's kind, without the key, the value or the driver's text."""
    up = [False]
    with peer(lambda _: b":1\r\n" if up[0] else b"-OOM secret text\r\n") as fake, caplog.at_level(logging.INFO):
        client = connect(f"redis://127.0.0.1:{fake.port}", rest_seconds=0.0)
        for _ in range(5):
            client.ask(ONE, "the-key", b"the-value")
        up[0] = True
        for _ in range(5):
            client.ask(ONE, "the-key", b"the-value")
    ours = [record for record in caplog.records if record.name == "sft.redis"]
    assert [record.getMessage() for record in ours] == [
        "Redis cannot be used (OutOfMemoryError): the database answers for it",
        "Redis can be used again",
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
            asking = [pool.submit(client.ask, ONE, "k") for _ in range(2)]
            both.wait(30)
            assert client.ask(ONE, "k") is None
            go_on.set()
            assert [one.result() for one in asking] == [1, 1]
        assert client.ask(ONE, "k") == 1
        assert fake.requests == 3


def test_a_connection_that_died_while_idle_is_no_outage(connect: Connect, valkey: Valkey) -> None:
    """The server may close what nobody used; the next question goes over a new connection."""
    with peer(server_at(int(valkey.url.rpartition(":")[2]))) as between:
        client = connect(f"redis://127.0.0.1:{between.port}", rest_seconds=60.0)
        assert client.ask(ONE, "k") == 1
        between.leave()
        between.away = False
        assert client.ask(ONE, "k") == 1


def test_connections_are_given_back(connect: Connect, valkey: Valkey) -> None:
    """Questions, faults and many threads leave at most as many open as are allowed; closing leaves none."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    client = connect(valkey.url, connections=4)
    broken = connect(f"redis://127.0.0.1:{free_port()}", rest_seconds=0.0)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: (client.ask(ONE, "k"), broken.ask(ONE, "k")), range(200)))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 4
    client.close()
    broken.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- nonsense --------------------------------------------------------------------------------------

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
def test_nonsense_is_no_answer(connect: Connect, nonsense: bytes) -> None:
    """Whatever a peer sends, sessions come from the durable store, and attempts are counted."""
    with peer(lambda _: nonsense) as fake:
        client = connect(f"redis://127.0.0.1:{fake.port}", timeout_seconds=0.05, rest_seconds=0.0)
        sessions = RedisSessions(client, MemorySessions(), SystemEntropy())
        session = a_session(a_user())
        sessions.open(session)
        assert sessions.get(session.id) == session
        assert sessions.rotate(session.id, generation=0, now=NOW, expires_at=session.expires_at)
        sessions.revoke(session.id, now=NOW)
        found = sessions.get(session.id)
        assert found is not None
        assert found.revoked_at == NOW
        limiter, key = RedisRateLimiter(client, MemoryRateLimiter()), a_key()
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3
        limiter.forget(key)
        assert how_many(limiter, key, THREE_A_MINUTE, NOW) == 3


def test_a_reply_that_is_cut_anywhere_is_no_answer(connect: Connect, valkey: Valkey) -> None:
    """After each number of its bytes: the durable store answers, and the next reply is not mixed up with it."""
    ask, cut_after = server_at(int(valkey.url.rpartition(":")[2])), [10_000]

    def answer(request: bytes) -> bytes | None:
        return ask(request)[: cut_after[0]]

    with peer(answer, then_cut=lambda: cut_after[0] < 10_000) as fake:
        client = connect(f"redis://127.0.0.1:{fake.port}", rest_seconds=0.0)
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


# --- what it owes ----------------------------------------------------------------------------------


def test_what_is_owed_is_deleted_before_anything_else(client: Client, beside: redis.Redis) -> None:
    """The next question is put to a server without those keys, many as they are."""
    keys = [client.key("t", str(number)) for number in range(2500)]
    beside.mset(dict.fromkeys(keys, b"x"))
    for key in keys:
        client.owe(key)
    assert client.ask(Script("return redis.call('EXISTS', KEYS[1])"), keys[-1]) == 0
    assert beside.exists(*keys) == 0


def test_what_could_not_be_deleted_is_owed(connect: Connect, own: Valkey) -> None:
    """A server that takes no changes is told again as soon as it takes them."""
    client = connect(own.url, rest_seconds=0.0)
    with own.client() as beside:
        beside.set(client.key("t", "x"), b"x")
        with redis_faults.read_only(own):
            client.drop(client.key("t", "x"))
            assert beside.exists(client.key("t", "x"))
        assert client.ask(ONE, "k") == 1
        assert not beside.exists(client.key("t", "x"))


def test_the_oldest_debts_are_let_go() -> None:
    """Beyond the limit there are the latest; one that is owed again counts as the latest."""
    debts = Debts(limit=3)
    for key in "abcad":
        debts.add(key)
    assert list(debts.due()) == ["c", "a", "d"]


def test_a_debt_that_comes_again_while_it_is_paid_stays() -> None:
    """Only what was deleted is struck."""
    debts = Debts(limit=3)
    debts.add("a")
    debts.add("b")
    due = debts.due()
    debts.add("a")
    debts.paid(due)
    assert list(debts.due()) == ["a"]
