"""
Ports that several features share. Each docstring is a contract, enforced by the contract suites.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from sft_core.values import Rate, Secret, WrappedSecret


class Clock(Protocol):
    """
    A source of the current time: time-zone aware, in UTC, in whole microseconds.
    """

    def now(self) -> datetime: ...


class Entropy(Protocol):
    """
    A cryptographically secure source of bytes: unpredictable, and independent of those of every other call.
    """

    def random_bytes(self, size: int) -> bytes: ...


class IdGenerator(Protocol):
    """
    A generator of UUIDs version 7 (RFC 9562), ascending within a process.
    """

    def new(self) -> UUID: ...


class KeyRing(Protocol):
    """
    Wrap secrets under key-encryption keys that never leave the ring.

    The wrapping is bound to `purpose` (1 to 64 of `[a-z0-9-]`) and `context` (any bytes): a wrapped secret unwraps
    under the same purpose and context only, so a copy in another row does not unwrap.
    """

    def wrap(self, secret: Secret, *, purpose: str, context: bytes) -> WrappedSecret:
        """
        Encrypt a secret of 16 to 4 096 bytes under the active key.

        The length is a multiple of 8. Raises `InvalidValue` for another length, or other characters in the purpose.
        """

    def unwrap(self, wrapped: WrappedSecret, *, purpose: str, context: bytes) -> Secret:
        """
        Decrypt a wrapped secret with the key that it names.

        Raises:
            UnknownKey: The ring does not contain that key. The error names it.
            UnwrapFailed: The key, purpose or context is not the one it was wrapped under, or the ciphertext was
                changed.
        """


class RateLimiter(Protocol):
    """
    A limit on how often something may be attempted.

    Each call is atomic and outside any unit of work. A key is a generated word (`[a-z0-9:-]{1,100}`) and always comes
    with the same rate. Counts outlive the process, but are not durable: a store may lose them with its other data.
    """

    def acquire(self, key: str, rate: Rate, *, now: datetime) -> None:
        """
        Consume one attempt of a key; raise `TooManyAttempts`, consuming none, if none is left.

        A key without attempts for a whole `rate.window` has `rate.attempts` of them; each consumed attempt is restored
        after another `rate.interval`. Of any number of concurrent callers exactly as many succeed as there are attempts
        left. A `now` earlier than a previous one restores nothing.
        """

    def reset(self, key: str) -> None:
        """
        Restore every attempt of a key at once; a key without attempts is no error.
        """


class ExpiringStore(Protocol):
    """
    A store whose entries expire and are deleted on request.

    Nothing depends on an entry that expired long ago. Each call is atomic and outside any unit of work.
    """

    def count_expired(self, *, before: datetime) -> int: ...

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        """
        Delete up to `limit` expired entries; return their number, below `limit` if none is left.
        """


class Leases(Protocol):
    """
    Distributed leases: at most one holder at a time, best effort. Each call is atomic.

    A lease avoids duplicate work and protects no data: a holder that is late, or whose clock differs, may still work
    beside its successor.
    """

    def acquire(self, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
        """
        Acquire or renew a lease until a moment; return whether it succeeded.

        Of any number of concurrent holders exactly one gets True. False, changing nothing, if another holder has the
        lease at `now`.
        """

    def release(self, name: str, *, holder: str) -> None:
        """
        Release a lease before it expires; no effect unless this holder has it.
        """


class UnitOfWork(Protocol):
    """
    One transaction: `commit` applies all of its changes or none, at most once.

    Then they are durable and visible to other units. Raises `DatabaseUnavailable` if the outcome is unknown: the
    changes may have been applied. Raises it too, with nothing applied, if the unit is read-only or has ended.
    """

    def commit(self) -> None: ...


UnitT_co = TypeVar("UnitT_co", bound=UnitOfWork, covariant=True)


class UnitOfWorkFactory(Protocol[UnitT_co]):
    """
    A factory of units of work; every exit without `commit` rolls the unit back.

    A unit belongs to one thread, is never nested and occupies a database connection: keep it short, and do no hashing,
    encryption or blob transfer inside it. A `read_only` unit reads from a consistent state and rejects changes.
    """

    def __call__(self, *, read_only: bool = False) -> AbstractContextManager[UnitT_co]: ...
