"""
A blob store in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial

import attrs

from sft_core.errors import BlobExists, BlobMissing, BlobSizeMismatch
from sft_core.vault.ports import BlobInfo, Buffer


@attrs.define
class MemoryBlobs:
    """
    Implements `sft_core.vault.ports.IdentifiedBlobStore`; a blob appears only once its put is complete.

    `now` returns the storage time of a new blob.
    """

    _now: Callable[[], datetime] = attrs.field(default=partial(datetime.now, UTC), repr=False)
    _blobs: dict[str, tuple[bytes, datetime]] = attrs.field(factory=dict, init=False, repr=False)
    _store_id: str | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        content = b"".join(bytes(piece) for piece in pieces)
        if len(content) != size:
            raise BlobSizeMismatch(f"blob {key}: received {len(content)} bytes, expected {size}")
        with self._lock:
            if key in self._blobs:
                raise BlobExists(key)
            self._blobs[key] = content, self._now()

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        with self._lock:
            blob = self._blobs.get(key)
        if blob is None:
            raise BlobMissing(f"blob {key} does not exist")
        content, _ = blob
        if len(content) != size or start + len(buffer) > size:
            raise BlobSizeMismatch(f"blob {key} has {len(content)} bytes, expected {size}")
        buffer[:] = content[start : start + len(buffer)]

    def delete(self, key: str) -> None:
        with self._lock:
            self._blobs.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        with self._lock:
            blobs = [(key, *blob) for key, blob in self._blobs.items() if key.startswith(prefix)]
        for key, content, stored_at in blobs:
            yield BlobInfo(key=key, size=len(content), stored_at=stored_at)

    def store_id(self) -> str | None:
        return self._store_id

    def set_store_id(self, store_id: str) -> str:
        with self._lock:
            self._store_id = self._store_id or store_id
            return self._store_id
