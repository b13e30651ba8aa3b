"""
The contract of `sft_core.vault.ports.BlobStore`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from sft_adapters.testkit.contracts.examples import race
from sft_core.errors import BlobExists, BlobMissing, BlobSizeMismatch
from sft_core.vault.ports import BlobStore

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
    Some bytes of a blob.
    """
    buffer = bytearray(length)
    blobs.read_into(key, start, memoryview(buffer), size=size)
    return bytes(buffer)


class BlobStoreContract:
    """
    Give the fixture `blobs`: a store without a blob.
    """

    @pytest.mark.parametrize("size", [0, 1, 4096, 3_000_001])
    def test_a_blob_comes_back_as_put(self, blobs: BlobStore, size: int) -> None:
        """Whole, and in slices from anywhere."""
        content = os.urandom(size)
        put(blobs, KEY, content)
        assert read(blobs, KEY, 0, size, size=size) == content
        for start in {0, size // 3, size}:
            length = min(1000, size - start)
            assert read(blobs, KEY, start, length, size=size) == content[start : start + length]

    def test_each_piece_is_used_up_before_the_next(self, blobs: BlobStore) -> None:
        """The caller's one buffer may hold every piece."""
        buffer = bytearray(10)

        def pieces() -> Iterator[memoryview]:
            for number in range(5):
                buffer[:] = bytes([number]) * 10
                yield memoryview(buffer)

        blobs.put(KEY, pieces(), size=50)
        assert read(blobs, KEY, 0, 50, size=50) == b"".join(bytes([number]) * 10 for number in range(5))

    def test_a_key_is_put_once(self, blobs: BlobStore) -> None:
        """A second put is refused and changes nothing."""
        put(blobs, KEY, b"first")
        with pytest.raises(BlobExists):
            put(blobs, KEY, b"other")
        assert read(blobs, KEY, 0, 5, size=5) == b"first"

    def test_of_equal_puts_one_wins_whole(self, blobs: BlobStore) -> None:
        """Twelve put one key at once: one succeeds, and its content is there unmixed."""

        def attempt() -> bytes:
            content = os.urandom(1) * 100_000
            try:
                put(blobs, KEY, content)
            except BlobExists:
                return b""
            return content

        (winner,) = filter(None, race(attempt))
        assert read(blobs, KEY, 0, 100_000, size=100_000) == winner
        assert [info.key for info in blobs.list()] == [KEY]

    @pytest.mark.parametrize("size", [0, 9, 11])
    def test_pieces_that_do_not_add_up_store_nothing(self, blobs: BlobStore, size: int) -> None:
        """Too few or too many bytes are refused, and the key stays free."""
        with pytest.raises(BlobSizeMismatch):
            put(blobs, KEY, b"ten bytes!", size=size)
        assert list(blobs.list()) == []
        put(blobs, KEY, b"ten bytes!")

    def test_pieces_that_raise_store_nothing(self, blobs: BlobStore) -> None:
        """The caller's own error comes out, and nothing is left behind."""

        def pieces() -> Iterator[bytes]:
            yield b"some"
            raise KeyError("the caller's own")

        with pytest.raises(KeyError):
            blobs.put(KEY, pieces(), size=100)
        assert list(blobs.list()) == []
        put(blobs, KEY, b"x")

    def test_what_is_not_there_is_missing(self, blobs: BlobStore) -> None:
        """Neither an unknown key nor a deleted one can be read."""
        put(blobs, OTHER, b"x")
        blobs.delete(OTHER)
        for key in (KEY, OTHER):
            with pytest.raises(BlobMissing):
                read(blobs, key, 0, 1, size=1)

    @pytest.mark.parametrize(("start", "length", "size"), [(0, 1, 9), (0, 1, 11), (5, 6, 10), (10, 1, 10)])
    def test_another_size_is_told(self, blobs: BlobStore, start: int, length: int, size: int) -> None:
        """A blob that is not as long as expected, or ends too early, is not delivered."""
        put(blobs, KEY, b"ten bytes!")
        with pytest.raises(BlobSizeMismatch):
            read(blobs, KEY, start, length, size=size)

    def test_deleting_is_for_good_and_may_be_repeated(self, blobs: BlobStore) -> None:
        """A deleted blob is gone, its neighbours stay; deleting what is gone is no error."""
        for key in (KEY, OTHER, ELSEWHERE):
            put(blobs, key, key.encode())
        blobs.delete(KEY)
        blobs.delete(KEY)
        assert {info.key for info in blobs.list()} == {OTHER, ELSEWHERE}
        assert read(blobs, OTHER, 0, len(OTHER), size=len(OTHER)) == OTHER.encode()
        put(blobs, KEY, b"again")

    def test_a_listing_tells_keys_sizes_and_times(self, blobs: BlobStore) -> None:
        """All blobs, or those of a prefix, whatever it ends in the middle of."""
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

    def test_a_blob_under_way_is_not_listed(self, blobs: BlobStore) -> None:
        """Until a put returns there is nothing to see of it."""
        seen: list[str] = []

        def pieces() -> Iterator[bytes]:
            yield b"ab"
            seen.extend(info.key for info in blobs.list())
            yield b"cd"

        blobs.put(KEY, pieces(), size=4)
        assert seen == []
