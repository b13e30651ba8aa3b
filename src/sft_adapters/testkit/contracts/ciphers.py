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
"""A window is "about 2 MiB": the chunks' tags and a header are added to it."""


@attrs.frozen
class EncryptedPart:
    """
    An encrypted part as the vault stores it: the blob and its manifest entry.
    """

    cipher: ContentCipher
    plaintext: bytes
    header: bytes
    blob: bytes

    def reader(self, *, key: Secret = KEY, context: bytes = CONTEXT, header: bytes | None = None) -> PartReader:
        """
        Return a reader of this part, or of a part that differs in one argument.
        """
        own = self.header if header is None else header
        return self.cipher.reader(key, context=context, header=own, size=len(self.plaintext))

    def read(self, span: ByteRange, blob: bytes | None = None) -> bytes:
        """
        Read as the core does: window by window, each fetched from the blob.
        """
        reader, source = self.reader(), memoryview(self.blob if blob is None else blob)
        windows = reader.windows(span)
        return b"".join(reader.decrypt(window, source[window.start : window.stop], span) for window in windows)

    @property
    def whole(self) -> ByteRange:
        """
        Return the range of all plaintext bytes of the part.
        """
        return ByteRange(0, len(self.plaintext))


def encrypted_part(cipher: ContentCipher, size: int) -> EncryptedPart:
    """
    Encrypt a part of `size` pseudo-random bytes.
    """
    plaintext = hashlib.shake_128(size.to_bytes(8, "big")).digest(size)
    part = cipher.encrypt(KEY, context=CONTEXT, plaintext=plaintext)
    return EncryptedPart(cipher, plaintext, part.header, b"".join(bytes(piece) for piece in part.pieces))


class ContentCipherContract:
    """
    Contract suite of `ContentCipher`: authenticated encryption of parts, bound to key and context.

    An adapter passes if a part decrypts to its plaintext, every message has a fresh salt, and a reader is
    refused with `AuthenticationFailed` unless key, context and header are those of the part.

    Fixtures:
        cipher: The cipher.
    """

    @pytest.mark.parametrize("size", SIZES)
    def test_encrypt_then_read_returns_the_plaintext(self, cipher: ContentCipher, size: int) -> None:
        """An encrypted part is read at every size around the bounds of chunks and windows."""
        part = encrypted_part(cipher, size)
        assert same(part.read(part.whole), part.plaintext)

    def test_plaintext_is_independent_of_the_ciphertext_buffer(self, cipher: ContentCipher) -> None:
        """Overwriting the ciphertext's buffer afterwards does not change the plaintext."""
        part = encrypted_part(cipher, 20_000)
        span = ByteRange(3, 19_000)
        (window,) = part.reader().windows(span)
        ciphertext = bytearray(part.blob[window.start : window.stop])
        plaintext = part.reader().decrypt(window, memoryview(ciphertext), span)
        ciphertext[:] = bytes(len(ciphertext))
        assert same(bytes(plaintext), part.plaintext[3:19_000])

    @pytest.mark.parametrize("size", SIZES)
    def test_size_is_known_before_the_pieces_are_consumed(self, cipher: ContentCipher, size: int) -> None:
        """The message has exactly the announced size and begins with its header."""
        part = cipher.encrypt(KEY, context=CONTEXT, plaintext=bytes(size))
        blob = b"".join(bytes(piece) for piece in part.pieces)
        assert len(blob) == part.size > size
        assert blob.startswith(part.header)

    def test_pieces_can_be_consumed_once(self, cipher: ContentCipher) -> None:
        """Consumed pieces are not produced again, so no salt is used twice."""
        part = cipher.encrypt(KEY, context=CONTEXT, plaintext=b"x" * 100)
        assert b"".join(bytes(piece) for piece in part.pieces)
        assert list(part.pieces) == []

    def test_each_encryption_has_a_fresh_salt(self, cipher: ContentCipher) -> None:
        """The same plaintext under the same key and context has another message each time."""
        messages = [encrypted_part(cipher, 1000) for _ in range(20)]
        assert len({message.header for message in messages}) == 20
        assert len({message.blob[-1000:] for message in messages}) == 20

    def test_message_and_repr_reveal_nothing(self, cipher: ContentCipher) -> None:
        """The message contains no run of the plaintext, and the repr does not show the header."""
        canary = b"a stretch that would be seen in the message" * 1000
        part = cipher.encrypt(KEY, context=CONTEXT, plaintext=canary)
        assert repr(part.header)[2:-1] not in repr(part)
        assert canary[:16] not in b"".join(bytes(piece) for piece in part.pieces)

    def test_encrypt_accepts_any_buffer(self, cipher: ContentCipher) -> None:
        """Bytes, bytearrays and views of either are encrypted as their bytes."""
        buffers: list[Buffer] = [b"ab" * 1000, bytearray(b"ab" * 1000), memoryview(b"-" + b"ab" * 1000)[1:]]
        for plaintext in buffers:
            part = cipher.encrypt(KEY, context=CONTEXT, plaintext=plaintext)
            blob = b"".join(bytes(piece) for piece in part.pieces)
            assert same(
                EncryptedPart(cipher, bytes(plaintext), part.header, blob).read(ByteRange(0, 2000)), b"ab" * 1000
            )

    def test_reader_of_another_part_is_refused(self, cipher: ContentCipher) -> None:
        """Another key, context or header, and a missing header, raise `AuthenticationFailed`."""
        part, other = encrypted_part(cipher, 1000), cipher.encrypt(KEY, context=b"another", plaintext=bytes(1000))
        with pytest.raises(AuthenticationFailed):
            part.reader(key=Secret(bytes(32)))
        for context in (b"", b"another", CONTEXT + b"\x00"):
            with pytest.raises(AuthenticationFailed):
                part.reader(context=context)
        for header in (b"", other.header, part.header[:-1]):
            with pytest.raises(AuthenticationFailed):
                part.reader(header=header)

    def test_reader_with_a_flipped_header_bit_is_refused(self, cipher: ContentCipher) -> None:
        """An altered header in the manifest is refused before any byte is fetched."""
        part = encrypted_part(cipher, 10)
        for bit in range(8 * len(part.header)):
            header = bytearray(part.header)
            header[bit // 8] ^= 1 << bit % 8
            with pytest.raises(AuthenticationFailed):
                part.reader(header=bytes(header))


class PartReaderContract:
    """
    Contract suite of `PartReader`: windows of bounded size, and no unauthenticated plaintext.

    An adapter passes if every range reads as exactly those bytes, in windows of about 2 MiB at most, and an
    altered, truncated or exchanged window raises `AuthenticationFailed`.

    Fixtures:
        cipher: The cipher that creates the readers.
    """

    @DRAWN
    @given(span=strategies.byte_ranges(within=SIZES[-1]))
    def test_read_range_returns_exactly_its_bytes(self, cipher: ContentCipher, span: ByteRange) -> None:
        """Reading a range returns exactly the plaintext bytes of that range."""
        part = encrypted_part(cipher, SIZES[-1])
        assert same(part.read(span), part.plaintext[span.start : span.stop])

    @pytest.mark.parametrize("size", SIZES)
    def test_windows_are_ordered_ranges_inside_the_blob(self, cipher: ContentCipher, size: int) -> None:
        """Windows lie inside the blob, do not overlap, and are at most about 2 MiB long."""
        part = encrypted_part(cipher, size)
        windows = list(part.reader().windows(part.whole))
        assert all(0 < len(window) <= LARGEST_WINDOW for window in windows)
        assert all(window.stop <= len(part.blob) for window in windows)
        assert all(earlier.stop <= later.start for earlier, later in pairwise(windows))

    def test_empty_span_has_no_windows(self, cipher: ContentCipher) -> None:
        """An empty span needs no bytes of the blob."""
        part = encrypted_part(cipher, 20_000)
        for at in (0, 5, 16_384, 20_000):
            assert list(part.reader().windows(ByteRange(at, at))) == []

    def test_single_byte_needs_one_window(self, cipher: ContentCipher) -> None:
        """At any position of a large part one byte needs at most one window."""
        part = encrypted_part(cipher, SIZES[-1])
        for at in (0, MIB, SIZES[-1] - 1):
            (window,) = part.reader().windows(ByteRange(at, at + 1))
            assert len(window) <= LARGEST_WINDOW

    def test_read_with_a_flipped_bit_is_refused(self, cipher: ContentCipher) -> None:
        """A blob with one flipped bit, in the header, a chunk or the last tag, is refused."""
        part = encrypted_part(cipher, 40_000)
        for at in (*range(100), *range(100, len(part.blob), 397), *range(len(part.blob) - 50, len(part.blob))):
            blob = bytearray(part.blob)
            blob[at] ^= 1 << at % 8
            with pytest.raises(AuthenticationFailed):
                part.read(part.whole, bytes(blob))

    def test_decrypt_truncated_window_is_refused(self, cipher: ContentCipher) -> None:
        """A window without its last bytes is refused, at any length."""
        part = encrypted_part(cipher, 40_000)
        reader = part.reader()
        (window,) = reader.windows(part.whole)
        for length in (*range(0, len(window), 997), len(window) - 16, len(window) - 1):
            with pytest.raises(AuthenticationFailed):
                reader.decrypt(window, memoryview(part.blob)[:length], part.whole)

    def test_decrypt_exchanged_windows_is_refused(self, cipher: ContentCipher) -> None:
        """Authentic bytes from another position of the part are refused."""
        part = encrypted_part(cipher, 3 * MIB)
        reader = part.reader()
        windows = list(reader.windows(part.whole))
        for here, there in pairwise(windows[1:]):
            moved = memoryview(part.blob)[there.start : there.start + len(here)]
            if len(moved) == len(here):
                with pytest.raises(AuthenticationFailed):
                    reader.decrypt(here, moved, part.whole)

    def test_decrypt_window_of_another_message_is_refused(self, cipher: ContentCipher) -> None:
        """Authentic bytes of another message under the same key and context are refused."""
        part, other = encrypted_part(cipher, 40_000), encrypted_part(cipher, 40_000)
        mixed = part.header + other.blob[len(part.header) :]
        for blob in (other.blob, mixed):
            with pytest.raises(AuthenticationFailed):
                part.read(part.whole, blob)

    def test_windows_before_a_damaged_one_are_decrypted(self, cipher: ContentCipher) -> None:
        """A damaged window returns nothing; the authentic windows before it are returned."""
        part = encrypted_part(cipher, SIZES[-1])
        reader, blob = part.reader(), bytearray(part.blob)
        first, *_, last = reader.windows(part.whole)
        blob[last.stop - 1] ^= 1
        given_out = bytes(reader.decrypt(first, memoryview(blob)[first.start : first.stop], part.whole))
        assert part.plaintext.startswith(given_out)
        assert given_out
        with pytest.raises(AuthenticationFailed):
            reader.decrypt(last, memoryview(blob)[last.start : last.stop], part.whole)
