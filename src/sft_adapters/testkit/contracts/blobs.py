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
    Some bytes of a blob.
    """
    buffer = bytearray(length)
    blobs.read_into(key, start, memoryview(buffer), size=size)
    return bytes(buffer)


class BlobStoreContract:
    """
    Give the fixture `blobs`: a store without a blob.

    `other_blobs` is another instance on the same data, as another process has one; without it the
    contract takes one instance for both.

    `creates_atomically` says whether of several puts of one key at the same time one alone
    succeeds. A store that cannot promise it (an S3 server without conditional writes) declares so.
    What holds everywhere: a put that has been acknowledged is never replaced by one that begins
    later, and no content is a mixture.
    """

    creates_atomically: ClassVar[bool] = True

    @pytest.fixture
    def other_blobs(self, blobs: BlobStore) -> BlobStore:
        """
        Another instance on the same data; this default is the same one.
        """
        return blobs

    @pytest.mark.parametrize("size", [0, 1, 4096, 3_000_001, (8 << 20) + 8_264])
    def test_a_blob_comes_back_as_put(self, blobs: BlobStore, size: int) -> None:
        """Whole, and in slices from anywhere."""
        content = os.urandom(size)
        put(blobs, KEY, content)
        assert same(read(blobs, KEY, 0, size, size=size), content)
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

    def test_pieces_may_be_any_buffers_of_any_length(self, blobs: BlobStore) -> None:
        """Bytes, byte arrays and views, empty ones among them, follow each other as they come."""
        pieces: list[Buffer] = [b"", b"one", bytearray(b"two"), memoryview(b"-three-")[1:-1], b"", b"4", b""]
        blobs.put(KEY, iter(pieces), size=12)
        assert read(blobs, KEY, 0, 12, size=12) == b"onetwothree4"

    def test_a_key_is_put_once(self, blobs: BlobStore) -> None:
        """A second put is refused and changes nothing."""
        put(blobs, KEY, b"first")
        with pytest.raises(BlobExists):
            put(blobs, KEY, b"other")
        assert read(blobs, KEY, 0, 5, size=5) == b"first"

    def test_of_equal_puts_one_wins_whole(self, blobs: BlobStore) -> None:
        """
        Twelve put one key at once: one's content is there unmixed, and the key stays taken.

        Of a store that does not create atomically no more is asked than of two.
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

    def test_what_is_acknowledged_is_never_replaced(self, blobs: BlobStore, other_blobs: BlobStore) -> None:
        """Who found the key free before it was put, by whomever, cannot put it afterwards, not one of twelve."""
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

    def test_what_one_instance_does_the_other_sees(self, blobs: BlobStore, other_blobs: BlobStore) -> None:
        """A blob is there, and is gone, for everybody at once, also for who has looked before."""
        for one, other in ((blobs, other_blobs), (other_blobs, blobs)):
            put(one, KEY, b"content")
            assert read(other, KEY, 0, 7, size=7) == b"content"
            assert [info.key for info in other.list()] == [KEY]
            other.delete(KEY)
            for instance in (one, other):
                assert list(instance.list()) == []
                with pytest.raises(BlobMissing):
                    read(instance, KEY, 0, 7, size=7)

    def test_puts_of_different_keys_do_not_meet(self, blobs: BlobStore) -> None:
        """Twelve put keys of their own at once, and each finds its own content."""
        keys = [f"{number:02x}/{number:02x}" for number in range(12)]
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda key: put(blobs, key, key.encode() * 10_000), keys))
            found = list(pool.map(lambda key: read(blobs, key, 0, 50_000, size=50_000), keys))
        assert found == [key.encode() * 10_000 for key in keys]

    @pytest.mark.parametrize("size", [0, 5, 9, 11, 100_000])
    def test_pieces_that_do_not_add_up_store_nothing(self, blobs: BlobStore, size: int) -> None:
        """Too few or too many bytes are refused, and the key stays free."""
        with pytest.raises(BlobSizeMismatch):
            put(blobs, KEY, b"ten bytes!", size=size)
        assert list(blobs.list()) == []
        put(blobs, KEY, b"ten bytes!")

    @pytest.mark.parametrize("before", [0, 4, 1_000_000])
    def test_pieces_that_raise_store_nothing(self, blobs: BlobStore, before: int) -> None:
        """Wherever it happens, the caller's own error comes out, and nothing is left behind."""

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

    def test_what_is_not_there_is_missing(self, blobs: BlobStore) -> None:
        """Neither an unknown key nor a deleted one can be read."""
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
    def test_another_size_is_told(self, blobs: BlobStore, start: int, length: int, size: int) -> None:
        """A blob that is not as long as expected, or ends too early, is not delivered."""
        put(blobs, KEY, b"ten bytes!")
        with pytest.raises(BlobSizeMismatch):
            read(blobs, KEY, start, length, size=size)

    def test_a_read_fills_its_buffer_and_nothing_else(self, blobs: BlobStore) -> None:
        """A view into the middle of something larger leaves what is around it alone."""
        put(blobs, KEY, bytes(range(256)) * 1000)
        around = bytearray(b"#" * 100_200)
        blobs.read_into(KEY, 1, memoryview(around)[100:-100], size=256_000)
        assert same(around, b"#" * 100 + (bytes(range(256)) * 1000)[1:100_001] + b"#" * 100)

    def test_many_may_read_at_once(self, blobs: BlobStore) -> None:
        """Twelve read different ranges of one blob, and each gets its own."""
        content = os.urandom(1_200_000)
        put(blobs, KEY, content)
        starts = range(0, len(content), 100_000)
        with ThreadPoolExecutor(12) as pool:
            found = list(pool.map(lambda start: read(blobs, KEY, start, 100_000, size=len(content)), starts))
        assert same(b"".join(found), content)

    def test_deleting_is_for_good_and_may_be_repeated(self, blobs: BlobStore) -> None:
        """A deleted blob is gone, its neighbours stay; deleting what is gone is no error."""
        for key in (KEY, OTHER, ELSEWHERE):
            put(blobs, key, key.encode())
        blobs.delete(KEY)
        blobs.delete(KEY)
        assert {info.key for info in blobs.list()} == {OTHER, ELSEWHERE}
        assert read(blobs, OTHER, 0, len(OTHER), size=len(OTHER)) == OTHER.encode()
        put(blobs, KEY, b"again")

    def test_many_may_delete_at_once(self, blobs: BlobStore) -> None:
        """Twelve delete one blob: none of them fails, and it is gone."""
        put(blobs, KEY, b"content")
        put(blobs, OTHER, b"neighbour")
        race(lambda: blobs.delete(KEY))
        assert [info.key for info in blobs.list()] == [OTHER]

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

    def test_a_listing_has_no_end_but_the_last(self, blobs: BlobStore) -> None:
        """Of more blobs than a page of S3 holds (1 000) each is listed once, all of them and those of a prefix."""
        keys = [f"{number % 3:02x}/{number:04x}" for number in range(1_003)]
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda key: put(blobs, key, b""), keys))
        assert sorted(info.key for info in blobs.list()) == sorted(keys)
        assert sum(1 for _ in blobs.list("02/")) == 334

    def test_a_blobs_time_stays(self, blobs: BlobStore, other_blobs: BlobStore) -> None:
        """When it was stored does not depend on when, or by whom, that is asked."""
        put(blobs, KEY, b"x")
        (first,) = blobs.list()
        put(blobs, OTHER, b"y")
        time.sleep(0.01)
        for instance in (blobs, other_blobs):
            assert list(instance.list(KEY)) == [first]

    def test_a_prefix_is_letters_and_not_a_folder(self, blobs: BlobStore) -> None:
        """A key is listed if and only if it begins with the prefix, letter by letter."""
        keys = {"aa/1", "aa/11", "aa1/1", "a/1", "aa-/1"}
        for key in keys:
            put(blobs, key, b"x")
        for prefix in ("", "a", "aa", "aa/", "aa/1", "aa1", "aa1/1", "aa-", "aa/111", "aa/1/", "b"):
            expected = {key for key in keys if key.startswith(prefix)}
            assert {info.key for info in blobs.list(prefix)} == expected, prefix

    def test_a_blob_under_way_is_not_listed(self, blobs: BlobStore) -> None:
        """Until a put returns there is nothing to see of it."""
        seen: list[str] = []

        def pieces() -> Iterator[bytes]:
            yield b"ab"
            seen.extend(info.key for info in blobs.list())
            yield b"cd"

        blobs.put(KEY, pieces(), size=4)
        assert seen == []
