"""
Leases in memory.
"""

from __future__ import annotations

import threading
from datetime import datetime

import attrs


@attrs.define
class MemoryLeases:
    """
    Implements `sft_core.ports.Leases` for the threads of one process; a lock makes each call atomic.
    """

    _leases: dict[str, tuple[str, datetime]] = attrs.field(factory=dict, init=False, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def acquire(self, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
        with self._lock:
            other, end = self._leases.get(name, (holder, now))
            if other != holder and end > now:
                return False
            self._leases[name] = holder, until
            return True

    def release(self, name: str, *, holder: str) -> None:
        with self._lock:
            if self._leases.get(name, ("", None))[0] == holder:
                del self._leases[name]
