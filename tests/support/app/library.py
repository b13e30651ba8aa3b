"""
The library in tests: users, and adapters that fail or call a hook in the middle of an operation.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final, cast

import attrs

from sft_adapters.memory.database import MemoryDatabase, MemoryUnit
from sft_core.application import Application
from sft_core.errors import DatabaseUnavailable
from sft_core.ports import KeyRing
from sft_core.users.model import Session, User
from sft_core.users.ports import PasswordHasher, SessionStore
from sft_core.values import EmailAddress, Password, Secret, SessionId, Username, WrappedSecret
from sft_core.vault.ports import BlobInfo, BlobStore, Buffer, StoreIdentity

PASSWORD: Final = Password.parse("correct horse battery")
LIGHT: Final = {"ARGON2_MEMORY_KIB": "8192"}
TIMEOUT_SECONDS: Final = 10.0
"""Upper bound in seconds of each wait for an expected event."""


def register(sft: Application, name: str) -> User:
    return sft.users.register_user(email=address(name), username=Username.parse(name), password=PASSWORD)


def address(name: str) -> EmailAddress:
    return EmailAddress.parse(f"{name}@example.org")


def stored(sft: Application, user: User) -> User:
    """
    Return the user as currently stored.
    """
    with sft.users.sign_in.begin(read_only=True) as unit:
        found = unit.users.get(user.id)
    assert found is not None
    return found


def do_nothing() -> None:
    pass


@attrs.frozen
class HookedHasher:
    """
    A password hasher that calls a hook after it has verified, and records its calls.
    """

    _hasher: PasswordHasher
    _hook: Callable[[], object] = do_nothing
    calls: list[str] = attrs.field(factory=list, init=False)

    def hash(self, password: Password) -> str:
        return self._hasher.hash(password)

    def verify(self, password: Password, hashed: str) -> None:
        self.calls.append("verify")
        self._hasher.verify(password, hashed)
        self._hook()

    def verify_absent(self, password: Password) -> None:
        self.calls.append("verify_absent")
        self._hasher.verify_absent(password)


@attrs.frozen
class HookedSessions:
    """
    A session store that calls a hook before a generation is exchanged, and records the opened sessions.
    """

    _sessions: SessionStore
    _hook: Callable[[], object] = do_nothing
    opened: list[SessionId] = attrs.field(factory=list, init=False)

    def open(self, session: Session) -> None:
        self.opened.append(session.id)
        self._sessions.open(session)

    def get(self, session_id: SessionId) -> Session | None:
        return self._sessions.get(session_id)

    def rotate(self, session_id: SessionId, *, generation: int, now: datetime, expires_at: datetime) -> bool:
        self._hook()
        return self._sessions.rotate(session_id, generation=generation, now=now, expires_at=expires_at)

    def revoke(self, session_id: SessionId, *, now: datetime) -> None:
        self._sessions.revoke(session_id, now=now)


@attrs.frozen
class HookedKeyRing:
    """
    A key ring that calls a hook before it wraps or unwraps.
    """

    _ring: KeyRing
    _hook: Callable[[], object]

    def wrap(self, secret: Secret, *, purpose: str, context: bytes) -> WrappedSecret:
        self._hook()
        return self._ring.wrap(secret, purpose=purpose, context=context)

    def unwrap(self, wrapped: WrappedSecret, *, purpose: str, context: bytes) -> Secret:
        self._hook()
        return self._ring.unwrap(wrapped, purpose=purpose, context=context)


def _marked(store: BlobStore) -> StoreIdentity:
    """
    Return the store as the port that sweeps and integrity checks use.
    """
    return cast("StoreIdentity", store)


@attrs.frozen
class FaultyBlobs:
    """
    A blob store whose calls fail as `faults` says: `{("put", 2): error}` fails its third put.

    A failed call has no effect, or with `after_effect` its full effect; `wait` is called before it fails.
    """

    _blobs: BlobStore
    _faults: Mapping[tuple[str, int], BaseException]
    _after_effect: bool = attrs.field(default=False, kw_only=True)
    _wait: Callable[[], object] = attrs.field(default=lambda: None, kw_only=True)
    calls: Counter[str] = attrs.field(factory=Counter, init=False)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        with self._call("put"):
            self._blobs.put(key, pieces, size=size)

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        with self._call("read_into"):
            self._blobs.read_into(key, start, buffer, size=size)

    def delete(self, key: str) -> None:
        with self._call("delete"):
            self._blobs.delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        with self._call("list"):
            return iter([*self._blobs.list(prefix)])

    def store_id(self) -> str | None:
        with self._call("store_id"):
            return _marked(self._blobs).store_id()

    def set_store_id(self, store_id: str) -> str:
        with self._call("set_store_id"):
            return _marked(self._blobs).set_store_id(store_id)

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        fault = self._faults.get((name, self.calls[name]))
        self.calls[name] += 1
        if fault is not None:
            self._wait()
        if fault is not None and not self._after_effect:
            raise fault
        yield
        if fault is not None:
            raise fault


class LostCommitUnit:
    """
    A unit of work whose commit loses its connection, before or after it takes effect.
    """

    def __init__(self, unit: MemoryUnit, *, happens: bool) -> None:
        self._unit = unit
        self._happens = happens
        self.users, self.links, self.idempotency_records = unit.users, unit.links, unit.idempotency_records
        self.files, self.manifests, self.uploads, self.quotas = unit.files, unit.manifests, unit.uploads, unit.quotas

    def commit(self) -> None:
        if self._happens:
            self._unit.commit()
        raise DatabaseUnavailable("the connection was lost")


@attrs.define
class CountingDatabase:
    """
    Counts the units of work that are not read-only.
    """

    database: MemoryDatabase
    changes: int = attrs.field(default=0, init=False)

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        self.changes += not read_only
        with self.database(read_only=read_only) as unit:
            yield unit


@attrs.define
class LostCommitDatabase:
    """
    A database whose connection is lost at one unit's commit, counted from 0; that commit `happens` or not.
    """

    _database: MemoryDatabase
    _lost_at: int
    _happens: bool = attrs.field(kw_only=True)
    _units: int = attrs.field(default=0, init=False)

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit | LostCommitUnit]:
        with self._database(read_only=read_only) as unit:
            if read_only:
                yield unit
                return
            self._units += 1
            yield LostCommitUnit(unit, happens=self._happens) if self._units - 1 == self._lost_at else unit


@attrs.define
class DelegatingBlobs:
    """
    A blob store that passes every call to another; subclasses override some of them.
    """

    _blobs: BlobStore

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        self._blobs.put(key, pieces, size=size)

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        self._blobs.read_into(key, start, buffer, size=size)

    def delete(self, key: str) -> None:
        self._blobs.delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        return self._blobs.list(prefix)

    def store_id(self) -> str | None:
        return _marked(self._blobs).store_id()

    def set_store_id(self, store_id: str) -> str:
        return _marked(self._blobs).set_store_id(store_id)


@attrs.define
class RowCheckingBlobs(DelegatingBlobs):
    """
    A blob store that records for each put whether a file row existed before it.
    """

    database: MemoryDatabase
    known: list[bool] = attrs.field(factory=list)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        self.known.append(bool(self.database.snapshot().files))
        super().put(key, pieces, size=size)


@attrs.define
class PairwiseBlobs(DelegatingBlobs):
    """
    A blob store in which a put ends only once the next one is stored; the put number `last` does not wait.
    """

    last: int
    most: int = 0
    _begun: int = 0
    _under_way: int = 0
    _stored: set[int] = attrs.field(factory=set)
    _changed: threading.Condition = attrs.field(factory=threading.Condition)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        with self._changed:
            mine = self._begun
            self._begun += 1
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        super().put(key, pieces, size=size)
        with self._changed:
            self._stored.add(mine)
            self._changed.notify_all()
            if mine < self.last and mine % 2 == 0:
                assert self._changed.wait_for(lambda: mine + 1 in self._stored, timeout=TIMEOUT_SECONDS)
            self._under_way -= 1
