"""
The cache in front of the sessions: what it answers, what it must never answer, and for how long.
"""

from __future__ import annotations

import secrets
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
import redis

from sft_adapters.redis.client import Client
from sft_adapters.redis.sessions import LOOKUP, RedisSessions, encode_session
from sft_adapters.system import SystemEntropy
from sft_adapters.testkit.contracts.examples import NOW, a_session, a_user
from sft_core.errors import DatabaseUnavailable
from sft_core.users.model import Session
from sft_core.values import SessionId
from support.faults.peers import forward_to, peer
from support.faults.redis_faults import Connect
from support.faults.session_stores import CountingSessions, DelayedSessions, PausingSessions
from support.servers.backends import Valkey


def cache(client: Client, durable: CountingSessions, **options: Any) -> RedisSessions:
    return RedisSessions(client, durable, SystemEntropy(), **options)


def opened(sessions: RedisSessions) -> Session:
    session = a_session(a_user())
    sessions.open(session)
    return session


def is_revoked(sessions: RedisSessions, session: Session) -> bool:
    found = sessions.get(session.id)
    assert found is not None
    return found.revoked_at is not None


def under(client: Client, session: Session) -> str:
    return client.key("s", session.id.bytes.hex())


def value_under(beside: redis.Redis, client: Client, session: Session) -> bytes:
    value = beside.get(under(client, session))
    assert value is None or isinstance(value, bytes)
    return value or b""


# --- what it answers ---------------------------------------------------------------------------


def test_the_second_read_is_answered_by_the_cache(client: Client) -> None:
    """The durable store is read once; every field comes back the same from the cache."""
    durable = CountingSessions()
    sessions = cache(client, durable)
    session = opened(sessions)
    assert [sessions.get(session.id) for _ in range(5)] == [session] * 5
    assert durable.reads == 1


def test_two_processes_share_it(connect: Connect, valkey: Valkey) -> None:
    """What one has read, another does not read again."""
    durable = CountingSessions()
    one, other = (cache(connect(valkey.url), durable) for _ in range(2))
    session = opened(one)
    one.get(session.id)
    assert other.get(session.id) == session
    assert durable.reads == 1


def test_an_unknown_session_is_not_remembered(client: Client) -> None:
    """That a session was unknown does not hide it once it is there."""
    sessions = cache(client, CountingSessions())
    session = a_session(a_user())
    assert sessions.get(session.id) is None
    sessions.open(session)
    assert sessions.get(session.id) == session


def test_an_entry_ends_by_itself_and_reading_does_not_prolong_it(client: Client, beside: redis.Redis) -> None:
    """Its time begins with the first reading and no later one moves its end."""
    durable = CountingSessions()
    sessions = cache(client, durable, entry_seconds=0.4, lease_seconds=0.1)
    session = opened(sessions)
    sessions.get(session.id)
    end = time.monotonic() + 0.4
    assert 0 < int(beside.pttl(under(client, session))) <= 400
    while time.monotonic() < end:
        sessions.get(session.id)
        time.sleep(0.01)
    assert not value_under(beside, client, session).startswith(b"S") or durable.reads > 1


def test_the_time_of_an_entry_begins_before_the_durable_store_is_read(client: Client, beside: redis.Redis) -> None:
    """What took a while to read is kept for that much less."""
    durable = PausingSessions()
    sessions = cache(client, durable, entry_seconds=60.0, lease_seconds=30.0)
    session = opened(sessions)
    durable.pause_next = True
    reader = threading.Thread(target=sessions.get, args=(session.id,))
    reader.start()
    assert durable.has_read.wait(10)
    time.sleep(0.3)
    durable.resume.set()
    reader.join()
    assert value_under(beside, client, session)[:1] == b"S"
    assert int(beside.pttl(under(client, session))) <= 59_700


def test_nothing_stays_in_the_server(client: Client, beside: redis.Redis) -> None:
    """Every key that it sets has an end, whatever is called, in whatever order."""
    sessions = cache(client, CountingSessions())
    one, two = opened(sessions), opened(sessions)
    for session in (one, two, a_session(a_user())):
        sessions.get(session.id)
        sessions.rotate(session.id, generation=0, now=NOW, expires_at=NOW + timedelta(days=9))
        sessions.get(session.id)
    sessions.get(two.id)
    sessions.revoke(one.id, now=NOW)
    keys = list(beside.scan_iter(f"{client.prefix}*"))
    assert keys
    assert all(0 < int(beside.pttl(key)) <= 30_000 for key in keys)


# --- what it must never answer -----------------------------------------------------------------


def test_a_change_is_seen_at_once_by_every_process(connect: Connect, valkey: Valkey) -> None:
    """Rotated by one and revoked by another, a cached session is never seen as it was."""
    durable = CountingSessions()
    one, other = (cache(connect(valkey.url), durable) for _ in range(2))
    session = opened(one)
    for reader in (one, other):
        reader.get(session.id)
    later = NOW + timedelta(days=9)
    assert one.rotate(session.id, generation=0, now=NOW, expires_at=later)
    rotated = attrs.evolve(session, generation=1, expires_at=later)
    assert one.get(session.id) == other.get(session.id) == rotated
    other.revoke(session.id, now=NOW)
    assert one.get(session.id) == other.get(session.id) == attrs.evolve(rotated, revoked_at=NOW)


@pytest.mark.parametrize("meanwhile", ["barred", "lease over", "flushed", "leased anew"])
def test_a_reader_that_paused_does_not_bring_a_revoked_session_back(
    connect: Connect, valkey: Valkey, beside: redis.Redis, meanwhile: str
) -> None:
    """It read before the revocation and fills after it: nothing of that is stored, whatever came between."""
    durable = PausingSessions()
    times = {"entry_seconds": 0.2, "lease_seconds": 0.1} if meanwhile == "lease over" else {}
    one, other = (cache(connect(valkey.url), durable, **times) for _ in range(2))
    session = opened(one)
    durable.pause_next = True
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(one.get, session.id)
        assert durable.has_read.wait(10)
        other.revoke(session.id, now=NOW)
        if meanwhile == "lease over":
            time.sleep(0.3)
        if meanwhile in {"flushed", "leased anew"}:
            beside.delete(under(one.client, session))
        if meanwhile == "leased anew":
            assert other.client.run(LOOKUP, under(one.client, session), b"Lother", 5000) == 1
        durable.resume.set()
        assert reading.result() == session
    assert not value_under(beside, one.client, session).startswith(b"S")
    assert is_revoked(one, session)
    assert is_revoked(other, session)


def test_a_lease_is_one_readers_alone(connect: Connect, valkey: Valkey, beside: redis.Redis) -> None:
    """A reader whose lease is gone does not fill under the lease that a later reader of the same code has."""
    durable, later = PausingSessions(), PausingSessions()
    one, other = (cache(connect(valkey.url), store) for store in (durable, later))
    session = opened(one)
    later.open(attrs.evolve(session, revoked_at=NOW))
    durable.pause_next = later.pause_next = True
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(one.get, session.id)
        assert durable.has_read.wait(10)
        beside.delete(under(one.client, session))
        late = pool.submit(other.get, session.id)
        assert later.has_read.wait(10)
        durable.resume.set()
        assert early.result() == session
        left = value_under(beside, one.client, session)
        later.resume.set()
        late.result()
    assert left.startswith(b"L")
    assert is_revoked(one, session)


@pytest.mark.parametrize("change", ["rotate", "revoke"])
def test_a_bar_stands_as_long_as_an_entry(client: Client, beside: redis.Redis, change: str) -> None:
    """A reader that began before the change may come back after its lease; an entry's time later it cannot."""
    sessions = cache(client, CountingSessions(), entry_seconds=60.0, lease_seconds=20.0)
    session = opened(sessions)
    sessions.get(session.id)
    if change == "rotate":
        assert sessions.rotate(session.id, generation=0, now=NOW, expires_at=NOW + timedelta(days=9))
    else:
        sessions.revoke(session.id, now=NOW)
    assert value_under(beside, client, session) == b"B"
    assert 20_000 < int(beside.pttl(under(client, session))) <= 60_000


def test_a_reader_between_the_bars_of_a_revocation_stores_nothing(client: Client, beside: redis.Redis) -> None:
    """While a session is being revoked, its key is closed to whoever read it before."""
    durable = PausingSessions()
    sessions = cache(client, durable)
    session = opened(sessions)

    @attrs.define
    class ReadMeanwhile(CountingSessions):
        def revoke(self, session_id: SessionId, *, now: datetime) -> None:
            assert sessions.get(session_id) == session
            assert value_under(beside, client, session) == b"B"
            durable.revoke(session_id, now=now)

    cache(client, ReadMeanwhile()).revoke(session.id, now=NOW)
    assert is_revoked(sessions, session)


def test_a_reader_between_the_bars_is_cleared_away_where_the_first_was_lost(
    client: Client, beside: redis.Redis
) -> None:
    """A server that is flushed in the middle of a revocation takes the old session, and loses it again."""
    durable = CountingSessions()
    sessions = cache(client, durable)
    session = opened(sessions)

    @attrs.define
    class FlushedMeanwhile(CountingSessions):
        def revoke(self, session_id: SessionId, *, now: datetime) -> None:
            beside.delete(under(client, session))
            assert sessions.get(session_id) == session
            assert value_under(beside, client, session)[:1] == b"S"
            durable.revoke(session_id, now=now)

    cache(client, FlushedMeanwhile()).revoke(session.id, now=NOW)
    assert is_revoked(sessions, session)


def test_a_change_of_unknown_outcome_keeps_the_key_barred(client: Client, beside: redis.Redis) -> None:
    """When the database cannot tell, and the change arrives later, nobody has cached the session meanwhile."""
    durable = DelayedSessions()
    sessions = cache(client, durable)
    session = opened(sessions)
    sessions.get(session.id)
    with pytest.raises(DatabaseUnavailable):
        sessions.revoke(session.id, now=NOW)
    assert not is_revoked(sessions, session)
    assert value_under(beside, client, session) == b"B"
    durable.apply_delayed()
    assert is_revoked(sessions, session)


def test_of_readers_and_a_revocation_at_once_none_is_stale_afterwards(connect: Connect, valkey: Valkey) -> None:
    """Eight readers in two processes never see a session live again once its revocation has returned."""
    durable = CountingSessions()
    processes = [cache(connect(valkey.url), durable) for _ in range(2)]
    for _ in range(20):
        session, revoked = opened(processes[0]), threading.Event()
        with ThreadPoolExecutor(8) as pool:
            readers = [pool.submit(stale_reads, processes[number % 2], session, revoked) for number in range(8)]
            processes[0].revoke(session.id, now=NOW)
            revoked.set()
            assert [reader.result() for reader in readers] == [0] * 8


def stale_reads(sessions: RedisSessions, session: Session, revoked: threading.Event) -> int:
    count = 0
    for _ in range(30):
        over = revoked.is_set()
        count += over and not is_revoked(sessions, session)
    return count


# --- how stale it may be when it is cut off ------------------------------------------------------


def test_who_revokes_without_redis_is_seen_to_have_at_most_an_entrys_time_later(
    connect: Connect, valkey: Valkey
) -> None:
    """Another process that reaches Redis may see the old session so long, and no longer; the revoker never."""
    durable = CountingSessions()
    times = {"entry_seconds": 0.3, "lease_seconds": 0.1}
    with peer(forward_to(int(valkey.url.rpartition(":")[2]))) as between:
        cut = cache(connect(f"redis://127.0.0.1:{between.port}"), durable, **times)
        other = cache(connect(valkey.url), durable, **times)
        session = opened(cut)
        assert other.get(session.id) == session
        between.disconnect_all()
        cut.revoke(session.id, now=NOW)
        assert is_revoked(cut, session)
        time.sleep(0.35)
        assert is_revoked(other, session)


def test_who_revokes_without_redis_tells_it_as_soon_as_it_can(connect: Connect, valkey: Valkey) -> None:
    """Once the revoker reaches Redis again, for whatever reason, no process sees the session live."""
    durable = CountingSessions()
    with peer(forward_to(int(valkey.url.rpartition(":")[2]))) as between:
        cut = cache(connect(f"redis://127.0.0.1:{between.port}"), durable)
        other = cache(connect(valkey.url), durable)
        session, unrelated = opened(cut), opened(cut)
        assert other.get(session.id) == session
        between.disconnect_all()
        cut.revoke(session.id, now=NOW)
        assert not is_revoked(other, session)
        between.is_down = False
        time.sleep(0.1)
        cut.get(unrelated.id)
        assert is_revoked(other, session)


def test_cut_off_after_the_first_bar_nobody_is_stale(connect: Connect, valkey: Valkey) -> None:
    """A revoker that loses Redis, or its life, in the middle has closed the key before."""
    durable = CountingSessions()
    with peer(forward_to(int(valkey.url.rpartition(":")[2]))) as between:

        @attrs.define
        class CutMeanwhile(CountingSessions):
            def revoke(self, session_id: SessionId, *, now: datetime) -> None:
                durable.revoke(session_id, now=now)
                between.disconnect_all()

        other = cache(connect(valkey.url), durable)
        session = opened(other)
        assert other.get(session.id) == session
        cache(connect(f"redis://127.0.0.1:{between.port}"), CutMeanwhile()).revoke(session.id, now=NOW)
        assert is_revoked(other, session)


# --- what is not its own ----------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["shorter", "longer", "another version", "another's", "beyond the calendar"])
def test_what_does_not_parse_is_a_miss(client: Client, beside: redis.Redis, change: str) -> None:
    """The durable store answers, and a later change clears the key."""
    durable = CountingSessions()
    sessions = cache(client, durable)
    session = opened(sessions)
    value = encode_session(session)
    foreign = {
        "shorter": value[:-1],
        "longer": value + b"\0",
        "another version": b"S2" + value[2:],
        "another's": encode_session(a_session(a_user())),
        "beyond the calendar": value[:34] + struct.pack(">q", 2**62) + value[42:],
    }[change]
    beside.set(under(client, session), foreign, ex=60)
    assert sessions.get(session.id) == session
    assert durable.reads == 1
    sessions.revoke(session.id, now=NOW)
    assert is_revoked(sessions, session)


def test_a_value_of_another_type_is_a_miss(client: Client, beside: redis.Redis) -> None:
    """A list under a session's key neither hurts nor stays after a change."""
    sessions = cache(client, CountingSessions())
    session = opened(sessions)
    beside.rpush(under(client, session), secrets.token_hex(4))
    assert sessions.get(session.id) == session
    sessions.revoke(session.id, now=NOW)
    assert is_revoked(sessions, session)
    assert value_under(beside, client, session) == b"B"


def test_a_lease_is_not_longer_than_an_entry(client: Client) -> None:
    """Such times are refused when the cache is made."""
    with pytest.raises(ValueError, match="lease"):
        cache(client, CountingSessions(), entry_seconds=1.0, lease_seconds=1.5)
