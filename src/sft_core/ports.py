"""
Ports that several features share. The docstring is the contract; the contract suites enforce it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from sft_core.values import Rate, Secret, WrappedSecret


class Clock(Protocol):
    """
    Tells the time.
    """

    def now(self) -> datetime:
        """
        The present moment, time-zone aware, in UTC, with whole microseconds.
        """
        ...


class Entropy(Protocol):
    """
    A cryptographically secure source of random bytes.
    """

    def draw(self, size: int) -> bytes:
        """
        Return `size` fresh bytes that nobody can predict and no other call has returned.
        """
        ...


class Ids(Protocol):
    """
    Makes identifiers.
    """

    def new(self) -> UUID:
        """
        Return a fresh UUID version 7 (RFC 9562); later calls in one process sort after earlier ones.
        """
        ...


class KeyRing(Protocol):
    """
    Wraps secrets under a key-encryption key that never leaves the ring.

    `purpose` (an ASCII word) and `context` (any bytes) are bound to the result: a wrapped secret
    opens under the same purpose and context only, so a row copied onto another row does not open.
    """

    def wrap(self, secret: Secret, *, purpose: str, context: bytes) -> WrappedSecret:
        """
        Encrypt a secret of 16 to 4 096 bytes, a multiple of 8, under the active key.
        """
        ...

    def unwrap(self, wrapped: WrappedSecret, *, purpose: str, context: bytes) -> Secret:
        """
        Decrypt; `UnknownKey` names a key that is missing, `UnwrapFailed` says it does not open.
        """
        ...


class RateLimiter(Protocol):
    """
    Bounds how often something may be tried. Each call is one atomic step, in no unit of work.

    A key is a generated word (`[a-z0-9:-]{1,100}`) and always comes with the same rate. What is
    counted outlives this process; it is no promise, so a store may lose it with its own data.
    """

    def admit(self, key: str, rate: Rate, *, now: datetime) -> None:
        """
        Take one attempt; `TooManyAttempts`, taking none, if none is left.

        A key that has rested for the whole window has `rate.attempts` of them, and a taken one
        comes back each `rate.interval`. Of any number of callers at one moment exactly as many as
        are left are admitted. A `now` that goes back gives nothing back.
        """
        ...

    def forget(self, key: str) -> None:
        """
        Give back every attempt at once; a key that nobody tried is no error.
        """
        ...


class Expiring(Protocol):
    """
    Keeps things that are over some day, and lets go of them when it is asked to.

    Nobody may miss what has been over for long; each call is one atomic step, in no unit of work.
    """

    def over(self, *, before: datetime) -> int:
        """
        How many were over before a moment.
        """
        ...

    def prune(self, *, before: datetime, limit: int) -> int:
        """
        Let go of `limit` of them at most, and tell of how many; fewer than `limit` means all.
        """
        ...


class Leases(Protocol):
    """
    Lets one of many, on whatever machine, do what need not be done twice. Each call is one atomic step.

    A lease saves work and guards nothing: who is late, or has a clock of its own, may work beside
    its successor.
    """

    def take(self, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
        """
        Take or prolong a lease; of any number of holders at one moment exactly one gets True.

        False, changing nothing, if somebody else holds it at `now`.
        """
        ...

    def let_go(self, name: str, *, holder: str) -> None:
        """
        Give a lease back before its end; one that is another's or nobody's is left as it is.
        """
        ...


class UnitOfWork(Protocol):
    """
    One transaction: all of it happens at `commit`, or nothing does.
    """

    def commit(self) -> None:
        """
        Make every change durable and visible to others, at most once per unit.

        `DatabaseUnavailable` leaves the outcome unknown: the change may have happened.
        """
        ...


UnitT_co = TypeVar("UnitT_co", bound=UnitOfWork, covariant=True)


class Begin(Protocol[UnitT_co]):
    """
    Opens units of work; leaving one without `commit` rolls it back, whatever the way out.

    Units are never shared between threads, never nested, and hold a connection: keep them short
    and free of hashing, encryption and blob traffic.
    """

    def __call__(self, *, read_only: bool = False) -> AbstractContextManager[UnitT_co]:
        """
        Open a unit; a `read_only` one sees a consistent state and refuses changes.
        """
        ...
