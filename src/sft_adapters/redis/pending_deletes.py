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
    _keys: dict[str, object] = attrs.field(factory=dict, init=False, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def add(self, key: str) -> None:
        """
        Add a key; beyond the limit the oldest key is dropped.
        """
        with self._lock:
            self._keys.pop(key, None)
            self._keys[key] = object()
            if len(self._keys) > self.limit:
                del self._keys[next(iter(self._keys))]

    def snapshot(self) -> dict[str, object]:
        """
        Return the pending keys with their latest additions, for `confirm` after the deletion.
        """
        with self._lock:
            return dict(self._keys)

    def confirm(self, deleted: dict[str, object]) -> None:
        """
        Remove the deleted keys, except those that were added again in the meantime.
        """
        with self._lock:
            for key, addition in deleted.items():
                if self._keys.get(key) is addition:
                    del self._keys[key]
