"""
Broken blob stores, planted in those in memory and on disk.
"""

# ruff: noqa: ARG002 (what a broken adapter ignores is its bug)

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime

from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.memory.blobs import MemoryBlobs
from sft_core.errors import BlobMissing, BlobSizeMismatch
from sft_core.vault.ports import BlobInfo, Buffer


class TruncatesReads(MemoryBlobs):
    """
    A read that gets as much as one call to the system gives, and says nothing.
    """

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        whole = bytearray(len(buffer))
        super().read_into(key, start, memoryview(whole), size=size)
        got = min(len(buffer), 1 << 16)
        buffer[:got] = whole[:got]


class ReadsOffByOne(MemoryBlobs):
    """
    A range that begins one byte early, except at the front.
    """

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        super().read_into(key, start, buffer, size=size)
        super().read_into(key, max(0, start - 1), buffer, size=size)


class Overwrites(MemoryBlobs):
    """
    A put that replaces what is there.
    """

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        content = b"".join(map(bytes, pieces))
        if len(content) == size:
            self.delete(key)
        super().put(key, iter([content]), size=size)


class ShowsBlobsUnderWay(MemoryBlobs):
    """
    A put that is visible before it is whole.
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
    A listing on disk that shows files under their temporary names.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        yield from super().list(prefix)
        for path in self.root.rglob(".new-*"):
            key = f"{path.parent.name}/{path.name}"
            if key.startswith(prefix):
                yield BlobInfo(key=key, size=path.stat().st_size, stored_at=datetime.now().astimezone())


class AcceptsAnySize(MemoryBlobs):
    """
    A read that does not compare the blob's size with the expected one.
    """

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        if key in self._blobs and start + len(buffer) <= size:
            size = len(self._blobs[key][0])
        super().read_into(key, start, buffer, size=size)


class EndsEarlyInSilence(MemoryBlobs):
    """
    A read beyond the end that gives what there is.
    """

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        if key in self._blobs and len(self._blobs[key][0]) == size:
            buffer = buffer[: max(0, size - start)]
        super().read_into(key, start, buffer, size=size)


class AcceptsShortPuts(MemoryBlobs):
    """
    A put that stores what came, whatever was announced.
    """

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        content = b"".join(map(bytes, pieces))
        super().put(key, iter([content]), size=len(content))


class SwallowsTheCallersError(MemoryBlobs):
    """
    Pieces that raise are taken for pieces that end.
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


class TakesAllPiecesFirst(MemoryBlobs):
    """
    The pieces are collected before any is used, though the caller reuses one buffer.
    """

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        super().put(key, iter(list(pieces)), size=size)


class DeletesByPrefix(MemoryBlobs):
    """
    A delete that takes along every key that begins like the one.
    """

    def delete(self, key: str) -> None:
        folder = key.partition("/")[0]
        for blob in list(self.list(folder)):
            super().delete(blob.key)


class NeverDeletes(MemoryBlobs):
    """
    The lost delete.
    """

    def delete(self, key: str) -> None:
        return


class DeletesOnlyOnce(MemoryBlobs):
    """
    A delete that cannot be repeated.
    """

    def delete(self, key: str) -> None:
        if key not in self._blobs:
            raise BlobMissing(key)
        super().delete(key)


class ChecksThenPuts(MemoryBlobs):
    """
    Whether the key is free is looked at first, and the put happens later.
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
    A prefix is taken for the name of a folder.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        folder = prefix.rstrip("/")
        for blob in super().list():
            if not folder or blob.key == folder or blob.key.startswith(f"{folder}/"):
                yield blob
