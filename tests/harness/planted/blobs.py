"""
Broken blob stores, based on the in-memory and the disk store.
"""

# ruff: noqa: ARG002 (what a broken adapter ignores is its bug)

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

import attrs

from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.memory.blobs import MemoryBlobs
from sft_core.errors import BlobMissing, BlobSizeMismatch
from sft_core.vault.ports import BlobInfo, Buffer
from support.app.library import DelegatingBlobs


class TruncatesReads(MemoryBlobs):
    """
    A read fills at most 64 KiB, like one system call, and reports no error.
    """

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        whole = bytearray(len(buffer))
        super().read_into(key, start, memoryview(whole), size=size)
        got = min(len(buffer), 1 << 16)
        buffer[:got] = whole[:got]


class ReadsOffByOne(MemoryBlobs):
    """
    A range that does not start at 0 is read from one byte earlier.
    """

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        super().read_into(key, start, buffer, size=size)
        super().read_into(key, max(0, start - 1), buffer, size=size)


class Overwrites(MemoryBlobs):
    """
    A put replaces an existing blob.
    """

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        content = b"".join(map(bytes, pieces))
        if len(content) == size:
            self.delete(key)
        super().put(key, iter([content]), size=size)


class ListsUnfinishedPuts(MemoryBlobs):
    """
    A put is listed before it is complete.
    """

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        if key in self._blobs:
            super().put(key, pieces, size=size)
        super().put(key, [], size=0)
        try:
            content = b"".join(map(bytes, pieces))
        finally:
            self.delete(key)
        super().put(key, iter([content]), size=size)


class ListsTemporaryFiles(DiskBlobs):
    """
    A listing on disk contains files under their temporary names.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        yield from super().list(prefix)
        for path in self.root.rglob(".new-*"):
            key = f"{path.parent.name}/{path.name}"
            if key.startswith(prefix):
                yield BlobInfo(key=key, size=path.stat().st_size, stored_at=datetime.now().astimezone())


class AcceptsAnySize(MemoryBlobs):
    """
    A read does not compare the blob's size with the expected one.
    """

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        if key in self._blobs and start + len(buffer) <= size:
            size = len(self._blobs[key][0])
        super().read_into(key, start, buffer, size=size)


class ReturnsShortReads(MemoryBlobs):
    """
    A read beyond the end returns the available bytes without an error.
    """

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        if key in self._blobs and len(self._blobs[key][0]) == size:
            buffer = buffer[: max(0, size - start)]
        super().read_into(key, start, buffer, size=size)


class AcceptsShortPuts(MemoryBlobs):
    """
    A put stores the received bytes, regardless of the announced size.
    """

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        content = b"".join(map(bytes, pieces))
        super().put(key, iter([content]), size=len(content))


class SwallowsTheCallersError(MemoryBlobs):
    """
    Pieces that raise are treated as pieces that end.
    """

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        taken: list[bytes] = []
        try:
            taken.extend(bytes(piece) for piece in pieces)
        except BlobSizeMismatch:
            raise
        except Exception:  # noqa: BLE001 (the bug)
            size = sum(map(len, taken))
        super().put(key, iter(taken), size=size)


class CollectsPiecesFirst(MemoryBlobs):
    """
    The pieces are collected before any is consumed, though the caller reuses one buffer.
    """

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        super().put(key, iter(list(pieces)), size=size)


class DeletesByPrefix(MemoryBlobs):
    """
    A delete also deletes every key that starts with the given one.
    """

    def delete(self, key: str) -> None:
        folder = key.partition("/")[0]
        for blob in list(self.list(folder)):
            super().delete(blob.key)


class NeverDeletes(MemoryBlobs):
    """
    A delete does nothing.
    """

    def delete(self, key: str) -> None:
        return


class RefusesToDeleteAgain(MemoryBlobs):
    """
    Deleting an absent blob raises.
    """

    def delete(self, key: str) -> None:
        if key not in self._blobs:
            raise BlobMissing(key)
        super().delete(key)


class ChecksThenPuts(MemoryBlobs):
    """
    The check for a free key and the put are two steps.
    """

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        content = b"".join(map(bytes, pieces))
        taken = key in self._blobs
        time.sleep(0.01)
        if not taken:
            self.delete(key)
        super().put(key, iter([content]), size=size)


class ListsByFolder(MemoryBlobs):
    """
    A prefix is treated as the name of a folder.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        folder = prefix.rstrip("/")
        for blob in super().list():
            if not folder or blob.key == folder or blob.key.startswith(f"{folder}/"):
                yield blob


class ListsOnePage(MemoryBlobs):
    """
    A listing ends after its first page of 1 000 blobs.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        yield from islice(super().list(prefix), 1000)


class ListsAHundred(MemoryBlobs):
    """
    A listing is limited to 100 blobs.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        yield from islice(super().list(prefix), 100)


class ReturnsTheListingTime(MemoryBlobs):
    """
    A blob's storage time is the listing's, so no blob is ever old.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        for blob in super().list(prefix):
            yield attrs.evolve(blob, stored_at=datetime.now(UTC))


@attrs.define
class CachesFreeKeys(MemoryBlobs):
    """
    A key found free is not checked again, so a put replaces a newer blob.
    """

    _free: set[str] = attrs.field(factory=set, init=False)

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        try:
            super().read_into(key, start, buffer, size=size)
        except BlobMissing:
            self._free.add(key)
            raise

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        content = b"".join(map(bytes, pieces))
        if key in self._free and len(content) == size:
            self.delete(key)
        super().put(key, iter([content]), size=size)


@attrs.define
class ChecksOwnPutsOnly(DelegatingBlobs):
    """
    A key is checked against this process's puts only, so other processes' blobs are replaced.
    """

    _own: set[str] = attrs.field(factory=set, init=False)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        content = b"".join(map(bytes, pieces))
        if len(content) == size and key not in self._own:
            super().delete(key)
        super().put(key, iter([content]), size=size)
        self._own.add(key)

    def delete(self, key: str) -> None:
        super().delete(key)
        self._own.discard(key)


@attrs.define
class CachesListings(DelegatingBlobs):
    """
    A listing is cached until this process itself changes a blob.
    """

    _listed: dict[str, list[BlobInfo]] = attrs.field(factory=dict, init=False)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        super().put(key, pieces, size=size)
        self._listed.clear()

    def delete(self, key: str) -> None:
        super().delete(key)
        self._listed.clear()

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        if prefix not in self._listed:
            self._listed[prefix] = [*super().list(prefix)]
        return iter(self._listed[prefix])


class ReplacesTheStoreId(MemoryBlobs):
    """
    A later store id replaces the first one.
    """

    def set_store_id(self, store_id: str) -> str:
        self._store_id = store_id
        return store_id


class ListsTheStoreId(MemoryBlobs):
    """
    The store id is stored, and listed, as a blob.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        yield from super().list(prefix)
        if self.store_id():
            yield BlobInfo(key="sft-mark", size=33, stored_at=datetime.now(UTC))


@attrs.define
class KeepsTheStoreIdPerProcess(DelegatingBlobs):
    """
    The store id is not visible to other processes.
    """

    _mark: str | None = attrs.field(default=None, init=False)

    def store_id(self) -> str | None:
        return self._mark

    def set_store_id(self, store_id: str) -> str:
        self._mark = self._mark or store_id
        return self._mark
