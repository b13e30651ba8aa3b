"""
Identifiers that sort by creation time: UUID version 7 (RFC 9562, section 5.7).
"""

from __future__ import annotations

import threading
from typing import Final
from uuid import UUID

import attrs

from sft_core.ports import Clock, Entropy

_VERSION: Final = 7 << 76
_VARIANT: Final = 0b10 << 62
_COUNTER_BITS: Final = 12


@attrs.define
class Uuid7Generator:
    """
    Implements `sft_core.ports.IdGenerator`: 48 bits of milliseconds, a 12-bit counter, 62 random bits.

    Within a process each identifier is greater than the previous one, even if the clock stops or is
    set back: the counter then continues from the latest time (method 1 of section 6.2).
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
