"""
The contracts of `sft_core.vault.ports.ContentCipher` and `PartReader`.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise

import attrs
import pytest
from hypothesis import given

from sft_adapters.testkit import strategies
from sft_adapters.testkit.contracts.drawn import DRAWN
from sft_adapters.testkit.contracts.examples import same
from sft_core.errors import AuthenticationFailed
from sft_core.values import ByteRange, Secret
from sft_core.vault.ports import Buffer, ContentCipher, PartReader

KEY = Secret(bytes(range(32)))
CONTEXT = b"the part of a file"
MIB = 1 << 20
SIZES = (0, 1, 16_383, 16_384, 16_385, MIB - 1, MIB, MIB + 1, 2 * MIB + 16_384 + 777)
LARGEST_WINDOW = 2 * MIB + (64 << 10)
"""A window is "about 2 MiB": the chunks' tags and a header come on top."""


@attrs.frozen
class Kept:
    """
    An encrypted part as the vault keeps it: the blob, and what its manifest says.
    """

    cipher: ContentCipher
    plaintext: bytes
    header: bytes
    blob: bytes

    def reader(self, *, key: Secret = KEY, context: bytes = CONTEXT, header: bytes | None = None) -> PartReader:
        """
        A reader of this part, or of one that differs from it in one thing.
        """
        own = self.header if header is None else header
        return self.cipher.reader(key, context=context, header=own, size=len(self.plaintext))

    def read(self, span: ByteRange, blob: bytes | None = None) -> bytes:
        """
        Read as the core does: window after window, each fetched from the blob.
        """
        reader, source = self.reader(), memoryview(self.blob if blob is None else blob)
        windows = reader.windows(span)
        return b"".join(reader.decrypt(window, source[window.start : window.stop], span) for window in windows)

    @property
    def whole(self) -> ByteRange:
        """
        All plaintext bytes of the part.
        """
        return ByteRange(0, len(self.plaintext))


def kept(cipher: ContentCipher, size: int) -> Kept:
    """
    A part of `size` bytes of noise, encrypted.
    """
    plaintext = hashlib.shake_128(size.to_bytes(8, "big")).digest(size)
    part = cipher.encrypt(KEY, context=CONTEXT, plaintext=plaintext)
    return Kept(cipher, plaintext, part.header, b"".join(bytes(piece) for piece in part.pieces))


class ContentCipherContract:
    """
    Give the fixture `cipher`.
    """

    @pytest.mark.parametrize("size", SIZES)
    def test_a_part_comes_back(self, cipher: ContentCipher, size: int) -> None:
        """What was encrypted is read, at every size around the bounds of chunks and windows."""
        part = kept(cipher, size)
        assert same(part.read(part.whole), part.plaintext)

    def test_what_was_decrypted_stays_as_it_is(self, cipher: ContentCipher) -> None:
        """The ciphertext's memory is overwritten with something else, and the plaintext is the same."""
        part = kept(cipher, 20_000)
        span = ByteRange(3, 19_000)
        (window,) = part.reader().windows(span)
        ciphertext = bytearray(part.blob[window.start : window.stop])
        plaintext = part.reader().decrypt(window, memoryview(ciphertext), span)
        ciphertext[:] = bytes(len(ciphertext))
        assert same(bytes(plaintext), part.plaintext[3:19_000])

    @pytest.mark.parametrize("size", SIZES)
    def test_the_size_is_told_before_the_pieces_are_taken(self, cipher: ContentCipher, size: int) -> None:
        """The message is as long as it was said to be and begins with its header."""
        part = cipher.encrypt(KEY, context=CONTEXT, plaintext=bytes(size))
        blob = b"".join(bytes(piece) for piece in part.pieces)
        assert len(blob) == part.size > size
        assert blob.startswith(part.header)

    def test_the_pieces_can_be_taken_once(self, cipher: ContentCipher) -> None:
        """What was taken does not come again: the same salt is never used twice."""
        part = cipher.encrypt(KEY, context=CONTEXT, plaintext=b"x" * 100)
        assert b"".join(bytes(piece) for piece in part.pieces)
        assert list(part.pieces) == []

    def test_every_part_has_a_salt_of_its_own(self, cipher: ContentCipher) -> None:
        """The same plaintext under the same key and context is another message each time."""
        messages = [kept(cipher, 1000) for _ in range(20)]
        assert len({message.header for message in messages}) == 20
        assert len({message.blob[-1000:] for message in messages}) == 20

    def test_plaintext_does_not_show(self, cipher: ContentCipher) -> None:
        """No stretch of the plaintext stands in the message, and no text shows header or key."""
        canary = b"a stretch that would be seen in the message" * 1000
        part = cipher.encrypt(KEY, context=CONTEXT, plaintext=canary)
        assert repr(part.header)[2:-1] not in repr(part)
        assert canary[:16] not in b"".join(bytes(piece) for piece in part.pieces)

    def test_plaintext_may_be_any_buffer(self, cipher: ContentCipher) -> None:
        """Bytes, bytearrays and views of either are encrypted as their bytes."""
        buffers: list[Buffer] = [b"ab" * 1000, bytearray(b"ab" * 1000), memoryview(b"-" + b"ab" * 1000)[1:]]
        for plaintext in buffers:
            part = cipher.encrypt(KEY, context=CONTEXT, plaintext=plaintext)
            blob = b"".join(bytes(piece) for piece in part.pieces)
            assert same(Kept(cipher, bytes(plaintext), part.header, blob).read(ByteRange(0, 2000)), b"ab" * 1000)

    def test_a_reader_of_another_part_is_refused(self, cipher: ContentCipher) -> None:
        """Another key, another context, another part's header or none: there is no reader."""
        part, other = kept(cipher, 1000), cipher.encrypt(KEY, context=b"another", plaintext=bytes(1000))
        with pytest.raises(AuthenticationFailed):
            part.reader(key=Secret(bytes(32)))
        for context in (b"", b"another", CONTEXT + b"\x00"):
            with pytest.raises(AuthenticationFailed):
                part.reader(context=context)
        for header in (b"", other.header, part.header[:-1]):
            with pytest.raises(AuthenticationFailed):
                part.reader(header=header)

    def test_every_flipped_bit_of_the_header_is_refused(self, cipher: ContentCipher) -> None:
        """A manifest's header that was changed is refused before anything is fetched."""
        part = kept(cipher, 10)
        for bit in range(8 * len(part.header)):
            header = bytearray(part.header)
            header[bit // 8] ^= 1 << bit % 8
            with pytest.raises(AuthenticationFailed):
                part.reader(header=bytes(header))


class PartReaderContract:
    """
    Give the fixture `cipher`.
    """

    @DRAWN
    @given(span=strategies.byte_ranges(within=SIZES[-1]))
    def test_any_range_is_the_slice(self, cipher: ContentCipher, span: ByteRange) -> None:
        """Reading a range gives exactly those bytes."""
        part = kept(cipher, SIZES[-1])
        assert same(part.read(span), part.plaintext[span.start : span.stop])

    @pytest.mark.parametrize("size", SIZES)
    def test_windows_are_runs_of_the_blob_in_order(self, cipher: ContentCipher, size: int) -> None:
        """They lie inside the blob, do not overlap, and none is much longer than a MiB."""
        part = kept(cipher, size)
        windows = list(part.reader().windows(part.whole))
        assert all(0 < len(window) <= LARGEST_WINDOW for window in windows)
        assert all(window.stop <= len(part.blob) for window in windows)
        assert all(earlier.stop <= later.start for earlier, later in pairwise(windows))

    def test_an_empty_span_has_no_window(self, cipher: ContentCipher) -> None:
        """Nothing is fetched where nothing is wanted."""
        part = kept(cipher, 20_000)
        for at in (0, 5, 16_384, 20_000):
            assert list(part.reader().windows(ByteRange(at, at))) == []

    def test_a_small_span_needs_little_of_a_large_part(self, cipher: ContentCipher) -> None:
        """For one byte no more than a window is fetched, wherever it stands."""
        part = kept(cipher, SIZES[-1])
        for at in (0, MIB, SIZES[-1] - 1):
            (window,) = part.reader().windows(ByteRange(at, at + 1))
            assert len(window) <= LARGEST_WINDOW

    def test_every_flipped_byte_is_refused(self, cipher: ContentCipher) -> None:
        """A blob that differs anywhere, header and last byte included, is not delivered."""
        part = kept(cipher, 40_000)
        for at in (*range(100), *range(100, len(part.blob), 397), *range(len(part.blob) - 50, len(part.blob))):
            blob = bytearray(part.blob)
            blob[at] ^= 1 << at % 8
            with pytest.raises(AuthenticationFailed):
                part.read(part.whole, bytes(blob))

    def test_a_cut_blob_is_refused(self, cipher: ContentCipher) -> None:
        """A window of which bytes are missing is refused, wherever it ends."""
        part = kept(cipher, 40_000)
        reader = part.reader()
        (window,) = reader.windows(part.whole)
        for length in (*range(0, len(window), 997), len(window) - 16, len(window) - 1):
            with pytest.raises(AuthenticationFailed):
                reader.decrypt(window, memoryview(part.blob)[:length], part.whole)

    def test_windows_that_changed_places_are_refused(self, cipher: ContentCipher) -> None:
        """Authentic bytes from another place of the part are not delivered."""
        part = kept(cipher, 3 * MIB)
        reader = part.reader()
        windows = list(reader.windows(part.whole))
        for here, there in pairwise(windows[1:]):
            moved = memoryview(part.blob)[there.start : there.start + len(here)]
            if len(moved) == len(here):
                with pytest.raises(AuthenticationFailed):
                    reader.decrypt(here, moved, part.whole)

    def test_another_parts_window_is_refused(self, cipher: ContentCipher) -> None:
        """Bytes that are authentic in another message of the same key and context are not delivered."""
        part, other = kept(cipher, 40_000), kept(cipher, 40_000)
        mixed = part.header + other.blob[len(part.header) :]
        for blob in (other.blob, mixed):
            with pytest.raises(AuthenticationFailed):
                part.read(part.whole, blob)

    def test_authentic_windows_before_a_damaged_one_are_given(self, cipher: ContentCipher) -> None:
        """Of a damaged window nothing is returned, of those before it everything."""
        part = kept(cipher, SIZES[-1])
        reader, blob = part.reader(), bytearray(part.blob)
        first, *_, last = reader.windows(part.whole)
        blob[last.stop - 1] ^= 1
        given_out = bytes(reader.decrypt(first, memoryview(blob)[first.start : first.stop], part.whole))
        assert part.plaintext.startswith(given_out)
        assert given_out
        with pytest.raises(AuthenticationFailed):
            reader.decrypt(last, memoryview(blob)[last.start : last.stop], part.whole)
