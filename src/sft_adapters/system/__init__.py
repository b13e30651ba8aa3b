"""
The machine's clock, random bytes and identifiers.
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import attrs

from sft_core.ports import Clock, Entropy

_VERSION: Final = 7 << 76
_VARIANT: Final = 0b10 << 62
_COUNTER_BITS: Final = 12


@attrs.frozen
class SystemClock:
    """
    Implements `sft_core.ports.Clock` by the operating system's clock.
    """

    def now(self) -> datetime:
        return datetime.now(UTC)


@attrs.frozen
class SystemEntropy:
    """
    Implements `sft_core.ports.Entropy` by the kernel's generator, whose state is not copied by a fork.
    """

    def random_bytes(self, size: int) -> bytes:
        return os.urandom(size)


@attrs.define
class Uuid7Generator:
    """
    Implements `sft_core.ports.IdGenerator` by UUID version 7 (RFC 9562, section 5.7), which sorts by creation time.

    It consists of 48 bits of milliseconds, a 12-bit counter and 62 random bits. Within a process each identifier is
    greater than the previous one, even if the clock stops or is set back: the counter then continues from the latest
    time (method 1 of section 6.2).
    """

    clock: Clock
    entropy: Entropy
    _last_timestamp: int = attrs.field(default=0, init=False, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False, eq=False)

    def new(self) -> UUID:
        millis = int(self.clock.now().timestamp() * 1000)
        random = int.from_bytes(self.entropy.random_bytes(8), "big") >> 2
        with self._lock:
            # Time and counter as one number: a full counter carries into the milliseconds.
            self._last_timestamp = max(millis << _COUNTER_BITS, self._last_timestamp + 1)
            time, counter = divmod(self._last_timestamp, 1 << _COUNTER_BITS)
        return UUID(int=time << 80 | _VERSION | counter << 64 | _VARIANT | random)
