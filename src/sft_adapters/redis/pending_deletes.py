"""
Keys to delete once an unreachable server is available, before any other call.
"""

from __future__ import annotations

import threading

import attrs


@attrs.define
class PendingDeletes:
    """
    The latest `limit` keys that this process must delete from the server.
    """

    limit: int
    _keys: dict[str, int] = attrs.field(factory=dict, init=False, repr=False)
    _serial: int = attrs.field(default=0, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def add(self, key: str) -> None:
        """
        Add a key; beyond the limit the oldest key is dropped.
        """
        with self._lock:
            self._serial += 1
            self._keys.pop(key, None)
            self._keys[key] = self._serial
            if len(self._keys) > self.limit:
                del self._keys[next(iter(self._keys))]

    def snapshot(self) -> dict[str, int]:
        """
        Return the pending keys; pass them to `confirm` once they are deleted.
        """
        with self._lock:
            return dict(self._keys)

    def confirm(self, deleted: dict[str, int]) -> None:
        """
        Remove the deleted keys, except those that were added again in the meantime.
        """
        with self._lock:
            for key, serial in deleted.items():
                if self._keys.get(key) == serial:
                    del self._keys[key]
