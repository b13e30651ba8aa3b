"""
The session cache: hits, stale entries that it must never return, and lifetimes.
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


def key_of(client: Client, session: Session) -> str:
    return client.key("s", session.id.bytes.hex())


def value_of(beside: redis.Redis, client: Client, session: Session) -> bytes:
    value = beside.get(key_of(client, session))
    assert value is None or isinstance(value, bytes)
    return value or b""


# --- hits --------------------------------------------------------------------------------------


def test_second_read_hits_the_cache(client: Client) -> None:
    """The durable store is read once, and the cache returns every field unchanged."""
    durable = CountingSessions()
    sessions = cache(client, durable)
    session = opened(sessions)
    assert [sessions.get(session.id) for _ in range(5)] == [session] * 5
    assert durable.reads == 1


def test_two_processes_share_the_cache(connect: Connect, valkey: Valkey) -> None:
    """A session read by one process is cached for the other."""
    durable = CountingSessions()
    one, other = (cache(connect(valkey.url), durable) for _ in range(2))
    session = opened(one)
    one.get(session.id)
    assert other.get(session.id) == session
    assert durable.reads == 1


def test_unknown_session_is_not_cached(client: Client) -> None:
    """A session that was unknown at a first read is found once it has been opened."""
    sessions = cache(client, CountingSessions())
    session = a_session(a_user())
    assert sessions.get(session.id) is None
    sessions.open(session)
    assert sessions.get(session.id) == session


def test_entry_expires_and_reads_do_not_extend_it(client: Client, beside: redis.Redis) -> None:
    """The lifetime starts with the first read, and later reads do not extend it."""
    durable = CountingSessions()
    sessions = cache(client, durable, entry_seconds=0.4, lease_seconds=0.1)
    session = opened(sessions)
    sessions.get(session.id)
    end = time.monotonic() + 0.4
    assert 0 < int(beside.pttl(key_of(client, session))) <= 400
    while time.monotonic() < end:
        sessions.get(session.id)
        time.sleep(0.01)
    assert not value_of(beside, client, session).startswith(b"S") or durable.reads > 1


def test_entry_lifetime_starts_before_the_durable_read(client: Client, beside: redis.Redis) -> None:
    """The time spent reading the durable store counts towards the entry's lifetime."""
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
    assert value_of(beside, client, session)[:1] == b"S"
    assert int(beside.pttl(key_of(client, session))) <= 59_700


def test_every_key_expires(client: Client, beside: redis.Redis) -> None:
    """Every key has an expiry, whatever the order of the calls."""
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


# --- no stale entries --------------------------------------------------------------------------


def test_change_is_visible_to_every_process_at_once(connect: Connect, valkey: Valkey) -> None:
    """After a rotation by one process and a revocation by another, no process sees the cached old state."""
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
def test_paused_reader_does_not_restore_a_revoked_session(
    connect: Connect, valkey: Valkey, beside: redis.Redis, meanwhile: str
) -> None:
    """A reader that read before the revocation and stores after it stores nothing, in each of these cases."""
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
            beside.delete(key_of(one.client, session))
        if meanwhile == "leased anew":
            assert other.client.run(LOOKUP, key_of(one.client, session), b"Lother", 5000) == 1
        durable.resume.set()
        assert reading.result() == session
    assert not value_of(beside, one.client, session).startswith(b"S")
    assert is_revoked(one, session)
    assert is_revoked(other, session)


def test_lease_belongs_to_one_reader(connect: Connect, valkey: Valkey, beside: redis.Redis) -> None:
    """A reader that lost its lease does not store under the lease of a later reader."""
    durable, later = PausingSessions(), PausingSessions()
    one, other = (cache(connect(valkey.url), store) for store in (durable, later))
    session = opened(one)
    later.open(attrs.evolve(session, revoked_at=NOW))
    durable.pause_next = later.pause_next = True
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(one.get, session.id)
        assert durable.has_read.wait(10)
        beside.delete(key_of(one.client, session))
        late = pool.submit(other.get, session.id)
        assert later.has_read.wait(10)
        durable.resume.set()
        assert early.result() == session
        value = value_of(beside, one.client, session)
        later.resume.set()
        late.result()
    assert value.startswith(b"L")
    assert is_revoked(one, session)


@pytest.mark.parametrize("change", ["rotate", "revoke"])
def test_tombstone_outlasts_a_lease(client: Client, beside: redis.Redis, change: str) -> None:
    """A tombstone outlasts a reader that began before the change, beyond its lease."""
    sessions = cache(client, CountingSessions(), entry_seconds=60.0, lease_seconds=20.0)
    session = opened(sessions)
    sessions.get(session.id)
    if change == "rotate":
        assert sessions.rotate(session.id, generation=0, now=NOW, expires_at=NOW + timedelta(days=9))
    else:
        sessions.revoke(session.id, now=NOW)
    assert value_of(beside, client, session) == b"B"
    assert 20_000 < int(beside.pttl(key_of(client, session))) <= 60_000


def test_reader_between_the_tombstones_stores_nothing(client: Client, beside: redis.Redis) -> None:
    """During a revocation the key has a tombstone, so a concurrent reader stores nothing."""
    durable = PausingSessions()
    sessions = cache(client, durable)
    session = opened(sessions)

    @attrs.define
    class ReadDuringRevocation(CountingSessions):
        def revoke(self, session_id: SessionId, *, now: datetime) -> None:
            assert sessions.get(session_id) == session
            assert value_of(beside, client, session) == b"B"
            durable.revoke(session_id, now=now)

    cache(client, ReadDuringRevocation()).revoke(session.id, now=NOW)
    assert is_revoked(sessions, session)


def test_second_tombstone_replaces_an_entry_after_a_flush(client: Client, beside: redis.Redis) -> None:
    """If the first tombstone is flushed, a reader may cache the old session, and the second tombstone replaces it."""
    durable = CountingSessions()
    sessions = cache(client, durable)
    session = opened(sessions)

    @attrs.define
    class FlushedDuringRevocation(CountingSessions):
        def revoke(self, session_id: SessionId, *, now: datetime) -> None:
            beside.delete(key_of(client, session))
            assert sessions.get(session_id) == session
            assert value_of(beside, client, session)[:1] == b"S"
            durable.revoke(session_id, now=now)

    cache(client, FlushedDuringRevocation()).revoke(session.id, now=NOW)
    assert is_revoked(sessions, session)


def test_change_in_doubt_keeps_the_tombstone(client: Client, beside: redis.Redis) -> None:
    """While the change may still be applied later, the tombstone keeps the session from being cached."""
    durable = DelayedSessions()
    sessions = cache(client, durable)
    session = opened(sessions)
    sessions.get(session.id)
    with pytest.raises(DatabaseUnavailable):
        sessions.revoke(session.id, now=NOW)
    assert not is_revoked(sessions, session)
    assert value_of(beside, client, session) == b"B"
    durable.apply_delayed()
    assert is_revoked(sessions, session)


def test_concurrent_readers_are_not_stale_after_a_revocation(connect: Connect, valkey: Valkey) -> None:
    """Eight readers in two processes never see a session live once its revocation has returned."""
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
        was_revoked = revoked.is_set()
        count += was_revoked and not is_revoked(sessions, session)
    return count


# --- staleness after an outage -------------------------------------------------------------------


def test_revocation_without_redis_is_visible_after_one_entry_lifetime(connect: Connect, valkey: Valkey) -> None:
    """Another process with Redis may see the old session for one entry's lifetime, the revoking one never."""
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


def test_revocation_without_redis_is_applied_on_recovery(connect: Connect, valkey: Valkey) -> None:
    """Once the revoking process reaches Redis again, no process sees the session live."""
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


def test_outage_after_the_first_tombstone_leaves_nothing_stale(connect: Connect, valkey: Valkey) -> None:
    """A process that loses Redis during a revocation has already stored the tombstone."""
    durable = CountingSessions()
    with peer(forward_to(int(valkey.url.rpartition(":")[2]))) as between:

        @attrs.define
        class CutDuringRevocation(CountingSessions):
            def revoke(self, session_id: SessionId, *, now: datetime) -> None:
                durable.revoke(session_id, now=now)
                between.disconnect_all()

        other = cache(connect(valkey.url), durable)
        session = opened(other)
        assert other.get(session.id) == session
        cache(connect(f"redis://127.0.0.1:{between.port}"), CutDuringRevocation()).revoke(session.id, now=NOW)
        assert is_revoked(other, session)


# --- invalid values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["shorter", "longer", "another version", "another's", "beyond the calendar"])
def test_invalid_value_is_a_miss(client: Client, beside: redis.Redis, change: str) -> None:
    """The durable store is used, and a later change replaces the value."""
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
    beside.set(key_of(client, session), foreign, ex=60)
    assert sessions.get(session.id) == session
    assert durable.reads == 1
    sessions.revoke(session.id, now=NOW)
    assert is_revoked(sessions, session)


def test_value_of_another_type_is_a_miss(client: Client, beside: redis.Redis) -> None:
    """A list under a session's key is ignored, and a later change replaces it."""
    sessions = cache(client, CountingSessions())
    session = opened(sessions)
    beside.rpush(key_of(client, session), secrets.token_hex(4))
    assert sessions.get(session.id) == session
    sessions.revoke(session.id, now=NOW)
    assert is_revoked(sessions, session)
    assert value_of(beside, client, session) == b"B"


def test_lease_longer_than_an_entry_is_refused(client: Client) -> None:
    """A lease longer than an entry is refused when the cache is created."""
    with pytest.raises(ValueError, match="lease"):
        cache(client, CountingSessions(), entry_seconds=1.0, lease_seconds=1.5)
