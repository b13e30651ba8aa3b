"""
A cache of sessions in front of their durable store.

The value of a session's key is one of three, distinguished by its first letter: a session (`S`), a lease (`L`) of the
one reader that may store the session, or a tombstone (`B`), which no reader replaces.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import attrs

from sft_adapters.redis.client import Client, Script
from sft_core.ports import Entropy
from sft_core.users.model import Session
from sft_core.users.ports import SessionStore
from sft_core.values import SessionId, UserId

# The empty SETRANGE changes nothing, but a full or read-only server rejects it: a server that cannot
# record a revocation must not return sessions.
LOOKUP: Final = Script("""
local there = redis.pcall('GET', KEYS[1])
if not there then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
if type(there) ~= 'string' or string.sub(there, 1, 1) ~= 'S' then
  return 0
end
redis.call('SETRANGE', KEYS[1], 0, '')
return there
""")

# The entry's lifetime includes the lease's, which began before the durable store was read.
FILL: Final = Script("""
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local age = tonumber(ARGV[3]) - redis.call('PTTL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[2], 'PX', string.format('%.0f', tonumber(ARGV[4]) - age))
return 1
""")

# A full server lets a script continue after its first write, so the deletion comes first.
TOMBSTONE: Final = Script("""
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], 'B', 'PX', ARGV[1])
return 1
""")

_MAGIC: Final = b"S1"
_FIELDS: Final = struct.Struct(">2s16s16sqqqq")
_NEVER: Final = -(2**63)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def encode_session(session: Session) -> bytes:
    """
    Encode a session in 66 bytes.

    They are `S`, the format version, both ids, creation and expiry in microseconds since 1970, the
    generation, and the time of revocation.
    """
    revoked = _NEVER if session.revoked_at is None else (session.revoked_at - _EPOCH) // _MICROSECOND
    return _FIELDS.pack(
        _MAGIC,
        session.id.bytes,
        session.user_id.bytes,
        (session.created_at - _EPOCH) // _MICROSECOND,
        (session.expires_at - _EPOCH) // _MICROSECOND,
        session.generation,
        revoked,
    )


def decode_session(value: bytes, session_id: SessionId) -> Session | None:
    """
    Decode a session; None if the bytes have another id or another format version.
    """
    try:
        magic, own_id, user_id, created, expires, generation, revoked = _FIELDS.unpack(value)
        if magic != _MAGIC or own_id != session_id.bytes:
            return None
        return Session(
            id=session_id,
            user_id=UserId(UUID(bytes=user_id)),
            created_at=_from_microseconds(created),
            expires_at=_from_microseconds(expires),
            generation=generation,
            revoked_at=None if revoked == _NEVER else _from_microseconds(revoked),
        )
    except (struct.error, OverflowError):
        return None


def _from_microseconds(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


@attrs.frozen
class RedisSessions:
    """
    Implements `sft_core.users.ports.SessionStore` in front of a `durable` one, which decides everything.

    `get` returns a session from Redis if possible, otherwise from the durable store. An entry lives
    for `entry_seconds`, by Redis' own clock, from before the durable store was read. The reader that
    may store it has `lease_seconds` to do so. Each change puts a tombstone on the key for
    `entry_seconds` before and after, so no session that was read before the change is stored after it.

    A session can be stale in one case: Redis is unreachable for the process that revokes or rotates,
    from before the change until after it. Then other processes may return the old session until this
    process reaches Redis again, for at most `entry_seconds`. This process itself never does.
    """

    client: Client
    durable: SessionStore
    entropy: Entropy
    entry_seconds: float = attrs.field(default=30.0, kw_only=True, validator=attrs.validators.ge(0.001))
    lease_seconds: float = attrs.field(default=2.0, kw_only=True, validator=attrs.validators.ge(0.001))

    def __attrs_post_init__(self) -> None:
        if self.lease_seconds > self.entry_seconds:
            raise ValueError("lease_seconds must not exceed entry_seconds")

    def open(self, session: Session) -> None:
        self.durable.open(session)

    def get(self, session_id: SessionId) -> Session | None:
        key, lease = self._key(session_id), b"L" + self.entropy.random_bytes(16)
        found = self.client.run(LOOKUP, key, lease, _milliseconds(self.lease_seconds))
        if isinstance(found, bytes):
            session = decode_session(found, session_id)
            if session is not None:
                return session
        session = self.durable.get(session_id)
        if session is not None and found == 1:
            times = _milliseconds(self.lease_seconds), _milliseconds(self.entry_seconds)
            self.client.run(FILL, key, lease, encode_session(session), *times)
        return session

    def rotate(self, session_id: SessionId, *, generation: int, now: datetime, expires_at: datetime) -> bool:
        with self._tombstoned(session_id):
            return self.durable.rotate(session_id, generation=generation, now=now, expires_at=expires_at)

    def revoke(self, session_id: SessionId, *, now: datetime) -> None:
        with self._tombstoned(session_id):
            self.durable.revoke(session_id, now=now)

    def _key(self, session_id: SessionId) -> str:
        return self.client.key("s", session_id.bytes.hex())

    @contextmanager
    def _tombstoned(self, session_id: SessionId) -> Iterator[None]:
        # Before and after a change, in case Redis is unreachable at one of the moments. If the change fails, its
        # outcome is unknown, and the first tombstone remains until it expires.
        self._put_tombstone(session_id)
        yield
        self._put_tombstone(session_id)

    def _put_tombstone(self, session_id: SessionId) -> None:
        key = self._key(session_id)
        if self.client.run(TOMBSTONE, key, _milliseconds(self.entry_seconds)) != 1:
            self.client.delete_later(key)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
