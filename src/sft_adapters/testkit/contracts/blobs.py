"""
The contract of `sft_core.vault.ports.BlobStore`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import ClassVar

import pytest

from sft_adapters.testkit.contracts.examples import RACERS, race, same
from sft_core.errors import BlobExists, BlobMissing, BlobSizeMismatch, BlobStoreUnavailable
from sft_core.vault.ports import BlobStore, Buffer

KEY = "0123456789abcdef/1-00000000-aa"
OTHER = "0123456789abcdef/1-00000001-bb"
ELSEWHERE = "fedcba9876543210/1-00000000-cc"


def put(blobs: BlobStore, key: str, content: bytes, *, size: int | None = None) -> None:
    """
    Store a blob in two pieces.
    """
    middle = len(content) // 2
    blobs.put(key, iter([content[:middle], content[middle:]]), size=len(content) if size is None else size)


def read(blobs: BlobStore, key: str, start: int, length: int, *, size: int) -> bytes:
    """
    Return a range of a blob.
    """
    buffer = bytearray(length)
    blobs.read_into(key, start, memoryview(buffer), size=size)
    return bytes(buffer)


class BlobStoreContract:
    """
    Contract suite of `BlobStore`: immutable blobs, put durably or not at all, exact listings.

    An adapter passes if it stores a blob of exactly the announced size or nothing, never replaces an
    acknowledged one, reads any range of it, and lists every blob once. All instances see the same blobs.

    `creates_atomically` declares whether exactly one of several simultaneous puts of one key succeeds. A store
    that cannot guarantee it (an S3 server without conditional writes) sets it to False. Every store must
    guarantee that no later put replaces an acknowledged blob, and that a blob is never a mixture of two puts.

    Fixtures:
        blobs: A new store without blobs.
        other_blobs: Another instance on the same data, as in another process. Optional: by default it is the
            same instance, and state that an instance keeps to itself is not tested.
    """

    creates_atomically: ClassVar[bool] = True

    @pytest.fixture
    def other_blobs(self, blobs: BlobStore) -> BlobStore:
        """
        Return another instance on the same data; by default the same one.
        """
        return blobs

    @pytest.mark.parametrize("size", [0, 1, 4096, 3_000_001, (8 << 20) + 8_264])
    def test_put_then_read_returns_the_bytes(self, blobs: BlobStore, size: int) -> None:
        """A blob is read completely and in ranges from any offset."""
        content = os.urandom(size)
        put(blobs, KEY, content)
        assert same(read(blobs, KEY, 0, size, size=size), content)
        for start in {0, size // 3, size}:
            length = min(1000, size - start)
            assert read(blobs, KEY, start, length, size=size) == content[start : start + length]

    def test_put_consumes_each_piece_before_the_next(self, blobs: BlobStore) -> None:
        """The caller may reuse one buffer for every piece."""
        buffer = bytearray(10)

        def pieces() -> Iterator[memoryview]:
            for number in range(5):
                buffer[:] = bytes([number]) * 10
                yield memoryview(buffer)

        blobs.put(KEY, pieces(), size=50)
        assert read(blobs, KEY, 0, 50, size=50) == b"".join(bytes([number]) * 10 for number in range(5))

    def test_put_accepts_pieces_of_any_type_and_length(self, blobs: BlobStore) -> None:
        """Bytes, bytearrays and views, empty ones included, are stored in order."""
        pieces: list[Buffer] = [b"", b"one", bytearray(b"two"), memoryview(b"-three-")[1:-1], b"", b"4", b""]
        blobs.put(KEY, iter(pieces), size=12)
        assert read(blobs, KEY, 0, 12, size=12) == b"onetwothree4"

    def test_put_existing_key_is_refused(self, blobs: BlobStore) -> None:
        """A second put raises `BlobExists` and changes nothing."""
        put(blobs, KEY, b"first")
        with pytest.raises(BlobExists):
            put(blobs, KEY, b"other")
        assert read(blobs, KEY, 0, 5, size=5) == b"first"

    def test_concurrent_puts_of_one_key_one_succeeds(self, blobs: BlobStore) -> None:
        """
        Of twelve concurrent puts of one key one is stored unmixed, and the key is then refused.

        Without `creates_atomically` only two puts run concurrently, and both may succeed.
        """
        attempted: list[bytes] = []

        def attempt() -> bool:
            content = os.urandom(16) * 6_250
            attempted.append(content)
            try:
                put(blobs, KEY, content)
            except BlobExists:
                return False
            except BlobStoreUnavailable:
                if self.creates_atomically:
                    raise
                return False
            return True

        winners = sum(race(attempt, RACERS if self.creates_atomically else 2))
        assert winners == 1 or (winners and not self.creates_atomically)
        found = read(blobs, KEY, 0, 100_000, size=100_000)
        assert any(same(found, content) for content in attempted)
        assert {info.key for info in blobs.list()} == {KEY}
        with pytest.raises(BlobExists):
            put(blobs, KEY, b"late")

    def test_put_never_replaces_an_acknowledged_blob(self, blobs: BlobStore, other_blobs: BlobStore) -> None:
        """An instance that found the key free before another's put cannot put it later, under any concurrency."""
        for key, one, other in ((KEY, blobs, other_blobs), (OTHER, other_blobs, blobs)):
            for instance in (one, other):
                with pytest.raises(BlobSizeMismatch):
                    put(instance, key, b"too short", size=10)
                with pytest.raises(BlobMissing):
                    read(instance, key, 0, 5, size=5)
                assert list(instance.list(key)) == []
            put(one, key, b"first")
            numbers = count()

            def refused(key: str = key, numbers: count[int] = numbers) -> bool:
                instance = (blobs, other_blobs)[next(numbers) % 2]
                try:
                    put(instance, key, b"later")
                except BlobExists:
                    return True
                return False

            assert race(refused) == [True] * RACERS
            for instance in (one, other):
                assert read(instance, key, 0, 5, size=5) == b"first"

    def test_changes_are_visible_to_the_other_instance(self, blobs: BlobStore, other_blobs: BlobStore) -> None:
        """A put and a delete are visible at once to an instance that read or listed before."""
        for one, other in ((blobs, other_blobs), (other_blobs, blobs)):
            put(one, KEY, b"content")
            assert read(other, KEY, 0, 7, size=7) == b"content"
            assert [info.key for info in other.list()] == [KEY]
            other.delete(KEY)
            for instance in (one, other):
                assert list(instance.list()) == []
                with pytest.raises(BlobMissing):
                    read(instance, KEY, 0, 7, size=7)

    def test_concurrent_puts_of_different_keys_are_independent(self, blobs: BlobStore) -> None:
        """Of twelve concurrent puts of different keys each stores its own content."""
        keys = [f"{number:02x}/{number:02x}" for number in range(12)]
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda key: put(blobs, key, key.encode() * 10_000), keys))
            found = list(pool.map(lambda key: read(blobs, key, 0, 50_000, size=50_000), keys))
        assert found == [key.encode() * 10_000 for key in keys]

    @pytest.mark.parametrize("size", [0, 5, 9, 11, 100_000])
    def test_put_of_another_size_stores_nothing(self, blobs: BlobStore, size: int) -> None:
        """Too few or too many bytes raise `BlobSizeMismatch`, and the key stays free."""
        with pytest.raises(BlobSizeMismatch):
            put(blobs, KEY, b"ten bytes!", size=size)
        assert list(blobs.list()) == []
        put(blobs, KEY, b"ten bytes!")

    @pytest.mark.parametrize("before", [0, 4, 1_000_000])
    def test_put_with_raising_pieces_stores_nothing(self, blobs: BlobStore, before: int) -> None:
        """The caller's own exception is raised at any offset, nothing is stored, and the key stays free."""

        def pieces() -> Iterator[bytes]:
            yield bytes(before)
            raise KeyError("the caller's own")

        with pytest.raises(KeyError, match="the caller's own"):
            blobs.put(KEY, pieces(), size=before + 4)
        assert list(blobs.list()) == []
        with pytest.raises(BlobMissing):
            read(blobs, KEY, 0, 1, size=before + 4)
        put(blobs, KEY, b"x")
        assert read(blobs, KEY, 0, 1, size=1) == b"x"

    def test_read_absent_blob_is_missing(self, blobs: BlobStore) -> None:
        """Reading an unknown or deleted key raises `BlobMissing`."""
        put(blobs, OTHER, b"x")
        blobs.delete(OTHER)
        for key in (KEY, OTHER):
            for length in (0, 1):
                with pytest.raises(BlobMissing):
                    read(blobs, key, 0, length, size=1)

    @pytest.mark.parametrize(
        ("start", "length", "size"),
        [(0, 1, 9), (0, 1, 11), (0, 10, 11), (0, 9, 9), (5, 6, 10), (10, 1, 10), (10, 1, 11), (0, 0, 9)],
    )
    def test_read_with_another_size_is_refused(self, blobs: BlobStore, start: int, length: int, size: int) -> None:
        """A blob that is shorter or longer than expected raises `BlobSizeMismatch`."""
        put(blobs, KEY, b"ten bytes!")
        with pytest.raises(BlobSizeMismatch):
            read(blobs, KEY, start, length, size=size)

    def test_read_fills_exactly_the_buffer(self, blobs: BlobStore) -> None:
        """A read into a view of a larger buffer leaves the bytes around the view unchanged."""
        put(blobs, KEY, bytes(range(256)) * 1000)
        around = bytearray(b"#" * 100_200)
        blobs.read_into(KEY, 1, memoryview(around)[100:-100], size=256_000)
        assert same(around, b"#" * 100 + (bytes(range(256)) * 1000)[1:100_001] + b"#" * 100)

    def test_concurrent_reads_return_their_ranges(self, blobs: BlobStore) -> None:
        """Twelve concurrent reads of one blob each return their own range."""
        content = os.urandom(1_200_000)
        put(blobs, KEY, content)
        starts = range(0, len(content), 100_000)
        with ThreadPoolExecutor(12) as pool:
            found = list(pool.map(lambda start: read(blobs, KEY, start, 100_000, size=len(content)), starts))
        assert same(b"".join(found), content)

    def test_delete_is_final_and_idempotent(self, blobs: BlobStore) -> None:
        """A deleted blob is absent, other blobs stay, and deleting it again is no error."""
        for key in (KEY, OTHER, ELSEWHERE):
            put(blobs, key, key.encode())
        blobs.delete(KEY)
        blobs.delete(KEY)
        assert {info.key for info in blobs.list()} == {OTHER, ELSEWHERE}
        assert read(blobs, OTHER, 0, len(OTHER), size=len(OTHER)) == OTHER.encode()
        put(blobs, KEY, b"again")

    def test_concurrent_deletes_all_succeed(self, blobs: BlobStore) -> None:
        """Of twelve concurrent deletes of one blob none fails, and the blob is deleted."""
        put(blobs, KEY, b"content")
        put(blobs, OTHER, b"neighbour")
        race(lambda: blobs.delete(KEY))
        assert [info.key for info in blobs.list()] == [OTHER]

    def test_list_returns_keys_sizes_and_times(self, blobs: BlobStore) -> None:
        """All blobs are listed, or those of a prefix, which may end anywhere in a key."""
        before = datetime.now(UTC) - timedelta(seconds=5)
        for number, key in enumerate((KEY, OTHER, ELSEWHERE)):
            put(blobs, key, bytes(number))
        found = {info.key: info for info in blobs.list()}
        assert {key: info.size for key, info in found.items()} == {KEY: 0, OTHER: 1, ELSEWHERE: 2}
        assert all(before < info.stored_at < datetime.now(UTC) + timedelta(seconds=5) for info in found.values())
        for prefix in ("0", "0123456789abcdef", "0123456789abcdef/", "0123456789abcdef/1-0000000"):
            assert {info.key for info in blobs.list(prefix)} == {KEY, OTHER}
        assert {info.key for info in blobs.list(KEY)} == {KEY}
        assert list(blobs.list("abc")) == []
        assert list(blobs.list("abc/")) == []

    def test_list_returns_more_than_one_page(self, blobs: BlobStore) -> None:
        """More blobs than a page of S3 holds (1 000) are each listed once, with and without a prefix."""
        keys = [f"{number % 3:02x}/{number:04x}" for number in range(1_003)]
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda key: put(blobs, key, b""), keys))
        assert sorted(info.key for info in blobs.list()) == sorted(keys)
        assert sum(1 for _ in blobs.list("02/")) == 334

    def test_stored_at_is_constant(self, blobs: BlobStore, other_blobs: BlobStore) -> None:
        """The storage time of a blob is the same in every listing of every instance."""
        put(blobs, KEY, b"x")
        (first,) = blobs.list()
        put(blobs, OTHER, b"y")
        time.sleep(0.01)
        for instance in (blobs, other_blobs):
            assert list(instance.list(KEY)) == [first]

    def test_list_prefix_is_not_a_folder(self, blobs: BlobStore) -> None:
        """A key is listed exactly if it begins with the prefix, character by character."""
        keys = {"aa/1", "aa/11", "aa1/1", "a/1", "aa-/1"}
        for key in keys:
            put(blobs, key, b"x")
        for prefix in ("", "a", "aa", "aa/", "aa/1", "aa1", "aa1/1", "aa-", "aa/111", "aa/1/", "b"):
            expected = {key for key in keys if key.startswith(prefix)}
            assert {info.key for info in blobs.list(prefix)} == expected, prefix

    def test_list_omits_unfinished_puts(self, blobs: BlobStore) -> None:
        """A blob is not listed before its put returns."""
        seen: list[str] = []

        def pieces() -> Iterator[bytes]:
            yield b"ab"
            seen.extend(info.key for info in blobs.list())
            yield b"cd"

        blobs.put(KEY, pieces(), size=4)
        assert seen == []
