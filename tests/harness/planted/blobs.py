"""
Broken blob stores, planted in those in memory and on disk.
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


class ListsAPage(MemoryBlobs):
    """
    A listing that ends with the first page of a thousand.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        yield from islice(super().list(prefix), 1000)


class ListsAHundred(MemoryBlobs):
    """
    A listing that somebody has bounded, for it was long.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        yield from islice(super().list(prefix), 100)


class TellsTheTimeOfTheListing(MemoryBlobs):
    """
    A time of storing that is the time of asking: nothing is ever old.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        for blob in super().list(prefix):
            yield attrs.evolve(blob, stored_at=datetime.now(UTC))


@attrs.define
class RemembersWhatWasFree(MemoryBlobs):
    """
    A key that was found free once is put without another look, and replaces what has come meanwhile.
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
class KnowsItsOwnPutsOnly(DelegatingBlobs):
    """
    Whether a key is taken is looked up among what this process has put: another one's blobs are replaced.
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
    A listing that a process asks for once, and then only when it has changed something itself.
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


class MarksAnew(MemoryBlobs):
    """
    A mark that the last one who sets it replaces.
    """

    def set_store_id(self, store_id: str) -> str:
        self._store_id = store_id
        return store_id


class ListsItsMark(MemoryBlobs):
    """
    A mark that is kept among the blobs.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        yield from super().list(prefix)
        if self.store_id():
            yield BlobInfo(key="sft-mark", size=33, stored_at=datetime.now(UTC))


@attrs.define
class KeepsItsMarkToItself(DelegatingBlobs):
    """
    A mark that no other process sees.
    """

    _mark: str | None = attrs.field(default=None, init=False)

    def store_id(self) -> str | None:
        return self._mark

    def set_store_id(self, store_id: str) -> str:
        self._mark = self._mark or store_id
        return self._mark
