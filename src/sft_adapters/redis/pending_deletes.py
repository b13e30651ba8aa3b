"""
Redis keys that could not be deleted because the server was unreachable.

`sft_adapters.redis.client` deletes them before it sends any other command once the server is available.
"""

from __future__ import annotations

import threading

import attrs


@attrs.define
class PendingDeletes:
    """
    The `limit` newest Redis keys that this process must still delete. Thread-safe.
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
        Return the pending keys, each with a mark of its latest `add`, for `confirm`.
        """
        with self._lock:
            return dict(self._keys)

    def confirm(self, deleted: dict[str, object]) -> None:
        """
        Remove the deleted keys, except those that were added again after the snapshot.
        """
        with self._lock:
            for key, addition in deleted.items():
                if self._keys.get(key) is addition:
                    del self._keys[key]
