"""
What could not be deleted while the server was out of reach, and is deleted before anything else.
"""

from __future__ import annotations

import threading

import attrs


@attrs.define
class Debts:
    """
    Keys that this process owes the server to delete, the `limit` latest of them.
    """

    limit: int
    _keys: dict[str, int] = attrs.field(factory=dict, init=False, repr=False)
    _serial: int = attrs.field(default=0, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def add(self, key: str) -> None:
        """
        Owe a key; beyond the limit the oldest one is let go.
        """
        with self._lock:
            self._serial += 1
            self._keys.pop(key, None)
            self._keys[key] = self._serial
            if len(self._keys) > self.limit:
                del self._keys[next(iter(self._keys))]

    def due(self) -> dict[str, int]:
        """
        What is owed now: hand it to `paid` once it is deleted.
        """
        with self._lock:
            return dict(self._keys)

    def paid(self, due: dict[str, int]) -> None:
        """
        Strike what was deleted, and nothing that has come to be owed again meanwhile.
        """
        with self._lock:
            for key, serial in due.items():
                if self._keys.get(key) == serial:
                    del self._keys[key]
