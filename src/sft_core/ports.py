"""
Ports that several features share. The docstring is the contract; the contract suites enforce it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from sft_core.values import Secret, WrappedSecret


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
