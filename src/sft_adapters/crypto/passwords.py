"""
Password hashes by Argon2id (RFC 9106) in PHC string format.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Final

import attrs
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from sft_core.errors import BadCredentials, Busy, ConfigurationError
from sft_core.ports import Entropy
from sft_core.values import Password

_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32

MAX_MEMORY_KIB: Final = 262_144
MAX_ITERATIONS: Final = 16
MAX_LANES: Final = 16

_PHC: Final = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,7}),t=([0-9]{1,3}),p=([0-9]{1,3})"
    r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}",
)


@attrs.frozen
class Argon2Cost:
    """
    The cost of a hash (KiB of memory, passes, lanes); defaults to OWASP's first recommendation.
    """

    memory_kib: int = 47_104
    iterations: int = 1
    lanes: int = 1

    @classmethod
    def from_phc(cls, hashed: str) -> Argon2Cost | None:
        """
        Return the cost in a PHC string; None unless it is a supported Argon2id hash.
        """
        match = _PHC.fullmatch(hashed)
        return cls(*map(int, match.groups())) if match else None

    @property
    def is_within_limits(self) -> bool:
        return (
            1 <= self.lanes <= MAX_LANES
            and 1 <= self.iterations <= MAX_ITERATIONS
            and 8 * self.lanes <= self.memory_kib <= MAX_MEMORY_KIB
        )


@attrs.frozen(kw_only=True)
class Argon2idHasher:
    """
    Implements `sft_core.users.ports.PasswordHasher`.

    At most `max_concurrent` hashes run at once in this process, which bounds the memory to that many times
    `cost.memory_kib`. A cost or another number out of bounds raises `ConfigurationError`; every call raises `Busy` if
    no slot becomes free within `wait_seconds`, or memory is exhausted.
    """

    entropy: Entropy
    cost: Argon2Cost = attrs.field(factory=Argon2Cost)
    max_concurrent: int = 4
    wait_seconds: float = 2.0
    _slots: BoundedSemaphore = attrs.field(init=False, repr=False, eq=False)

    @_slots.default
    def _new_slots(self) -> BoundedSemaphore:
        if not self.cost.is_within_limits or self.max_concurrent < 1 or self.wait_seconds < 0:
            raise ConfigurationError(f"password hashing does not support {self!r}")
        return BoundedSemaphore(self.max_concurrent)

    def hash(self, password: Password) -> str:
        argon2 = Argon2id(
            salt=self.entropy.random_bytes(_SALT_BYTES),
            length=_HASH_BYTES,
            iterations=self.cost.iterations,
            lanes=self.cost.lanes,
            memory_cost=self.cost.memory_kib,
        )
        with self._slot():
            return argon2.derive_phc_encoded(password.reveal())

    def verify(self, password: Password, hashed: str) -> None:
        # A hash with another cost verifies too; one beyond the limits never matches.
        cost = Argon2Cost.from_phc(hashed)
        is_acceptable = cost is not None and cost.is_within_limits
        with self._slot():
            try:
                Argon2id.verify_phc_encoded(password.reveal(), hashed if is_acceptable else self._unmatchable_hash())
            except (InvalidKey, ValueError):
                raise BadCredentials from None

    def verify_absent(self, password: Password) -> None:
        self.verify(password, self._unmatchable_hash())

    def _unmatchable_hash(self) -> str:
        """
        Return a hash of the configured cost with a random value, which no password matches.
        """
        cost, salt, value = self.cost, self.entropy.random_bytes(_SALT_BYTES), self.entropy.random_bytes(_HASH_BYTES)
        parameters = f"m={cost.memory_kib},t={cost.iterations},p={cost.lanes}"
        # Base64 in PHC strings has the standard alphabet and no padding.
        encoded = "$".join(base64.b64encode(part).rstrip(b"=").decode() for part in (salt, value))
        return f"$argon2id$v=19${parameters}${encoded}"

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=self.wait_seconds):
            raise Busy("every slot for a password hash is in use")
        try:
            yield
        except MemoryError:
            raise Busy("there is not enough memory for a password hash") from None
        finally:
            self._slots.release()
