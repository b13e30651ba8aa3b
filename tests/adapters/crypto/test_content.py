"""
The vault's content cipher: parts written in windows, read back in any range.
"""

from __future__ import annotations

import random
import tracemalloc

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_adapters.crypto.chunked import (
    CHUNK_BYTES,
    ENCRYPTED_CHUNK_BYTES,
    HEADER_BYTES,
    TAG_BYTES,
    ciphertext_length,
    decrypt_message,
)
from sft_adapters.crypto.content import BATCH_CHUNKS, WINDOW_CHUNKS, ChunkedCipher
from sft_core.errors import AuthenticationFailed, InvalidValue
from sft_core.ports import Entropy
from sft_core.values import ByteRange, Secret
from sft_core.vault.ports import Buffer, PartReader

KEY = Secret(bytes(range(32)))
CONTEXT = b"sft/v1/vault/ a part"
WINDOW = WINDOW_CHUNKS * CHUNK_BYTES
PIECE = BATCH_CHUNKS * CHUNK_BYTES
LARGEST_PIECE = HEADER_BYTES + BATCH_CHUNKS * ENCRYPTED_CHUNK_BYTES + TAG_BYTES
LARGEST = HEADER_BYTES + WINDOW_CHUNKS * ENCRYPTED_CHUNK_BYTES + TAG_BYTES
BOUNDS = (0, CHUNK_BYTES, WINDOW, WINDOW + CHUNK_BYTES, 2 * WINDOW, 8 * 2**20)
SIZES = sorted({size + more for size in BOUNDS for more in (-1, 0, 1) if size + more >= 0})


@attrs.frozen
class Stored:
    """
    An encrypted part as the vault stores it: the blob, and its row in the manifest.
    """

    cipher: ChunkedCipher
    plaintext: bytes
    header: bytes
    blob: bytes

    def reader(self, **changes: object) -> PartReader:
        arguments = {"context": CONTEXT, "header": self.header, "size": len(self.plaintext), "key": KEY, **changes}
        return self.cipher.reader(arguments.pop("key"), **arguments)  # type: ignore[arg-type]  # by name above

    def read(self, span: ByteRange, blob: bytes | None = None) -> bytes:
        """
        Read like the core: window after window, each read from the blob.
        """
        reader, source = self.reader(), memoryview(self.blob if blob is None else blob)
        windows = reader.windows(span)
        return b"".join(reader.decrypt(window, source[window.start : window.stop], span) for window in windows)

    @property
    def whole(self) -> ByteRange:
        return ByteRange(0, len(self.plaintext))


def store(entropy: Entropy, size: int) -> Stored:
    cipher, plaintext = ChunkedCipher(entropy), random.Random(size).randbytes(size)
    part = cipher.encrypt(KEY, context=CONTEXT, plaintext=plaintext)
    blob = b"".join(bytes(piece) for piece in part.pieces)
    assert part.size == len(blob)
    return Stored(cipher, plaintext, part.header, blob)


@pytest.fixture(scope="module")
def two_windows(entropy: Entropy) -> Stored:
    """
    A part of two windows, a chunk and 777 bytes, so the last chunk is short.
    """
    return store(entropy, 2 * WINDOW + CHUNK_BYTES + 777)


@pytest.fixture(scope="module")
def full_chunks(entropy: Entropy) -> Stored:
    """
    A part that ends at a window boundary, so its closing chunk is empty.
    """
    return store(entropy, 2 * WINDOW)


@pytest.mark.parametrize("size", SIZES)
def test_part_round_trips(size: int, entropy: Entropy) -> None:
    """
    An encrypted part is read back, at every size around the bounds of chunks, windows and parts.
    """
    stored = store(entropy, size)
    assert len(stored.blob) == ciphertext_length(size)
    assert stored.blob[:HEADER_BYTES] == stored.header
    assert stored.read(stored.whole) == stored.plaintext
    assert decrypt_message(KEY, context=CONTEXT, ciphertext=stored.blob) == stored.plaintext


@pytest.mark.parametrize("size", SIZES)
def test_pieces_are_few_and_share_one_buffer(size: int, entropy: Entropy) -> None:
    """
    A part is written in one piece per started 256 KiB, header included, from one buffer.
    """
    part = ChunkedCipher(entropy).encrypt(KEY, context=CONTEXT, plaintext=bytes(size))
    pieces = [memoryview(piece) for piece in part.pieces]
    assert len(pieces) == max(1, -(-size // PIECE))
    assert all(0 < len(piece) <= LARGEST_PIECE for piece in pieces)
    assert len({id(piece.obj) for piece in pieces}) == 1


@pytest.mark.parametrize("size", [size for size in SIZES if size])
def test_windows_of_a_whole_part_cover_its_blob(size: int, entropy: Entropy) -> None:
    """
    The windows of a whole part cover its blob once, header and closing chunk included.
    """
    stored = store(entropy, size)
    windows = list(stored.reader().windows(stored.whole))
    assert [window.start for window in windows] == [0, *(window.stop for window in windows[:-1])]
    assert windows[-1].stop == len(stored.blob)
    assert len(windows) == -(-size // WINDOW)
    assert all(len(window) <= LARGEST for window in windows)


def test_encrypting_needs_one_piece_of_memory(entropy: Entropy) -> None:
    """
    Encryption allocates no more than one piece, however large the part.
    """
    plaintext = bytes(8 * 2**20)
    cipher = ChunkedCipher(entropy)
    tracemalloc.start()
    try:
        for _ in cipher.encrypt(KEY, context=CONTEXT, plaintext=plaintext).pieces:
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LARGEST_PIECE + 64 * 1024


def test_decrypting_needs_one_window_of_memory(full_chunks: Stored) -> None:
    """
    Each window is decrypted into memory once and not copied.
    """
    reader, source = full_chunks.reader(), memoryview(full_chunks.blob)
    tracemalloc.start()
    try:
        for window in reader.windows(full_chunks.whole):
            reader.decrypt(window, source[window.start : window.stop], full_chunks.whole)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < WINDOW + 64 * 1024


edges = st.integers(0, 2 * WINDOW_CHUNKS + 2).map(lambda number: number * CHUNK_BYTES)
near_edges = st.builds(lambda edge, by: max(edge + by, 0), edges, st.integers(-2, 2))
positions = st.one_of(near_edges, st.integers(0, 2 * WINDOW + 2 * CHUNK_BYTES))
spans = st.builds(lambda a, b: ByteRange(min(a, b), max(a, b)), positions, positions)


@given(span=spans, part=st.sampled_from(["two_windows", "full_chunks"]))
@settings(max_examples=300, deadline=None)
def test_any_range_is_a_slice_of_the_plaintext(
    span: ByteRange, part: str, two_windows: Stored, full_chunks: Stored
) -> None:
    """
    A range returns exactly its bytes and reads only the chunks that overlap it.
    """
    stored = {"two_windows": two_windows, "full_chunks": full_chunks}[part]
    assert stored.read(span) == stored.plaintext[span.start : span.stop]
    fetched = sum(len(window) for window in stored.reader().windows(span))
    inside = stored.whole.intersection(span)
    touched = (inside.stop - 1) // CHUNK_BYTES - inside.start // CHUNK_BYTES + 1 if len(inside) else 0
    assert fetched <= touched * ENCRYPTED_CHUNK_BYTES + (HEADER_BYTES + TAG_BYTES if touched else 0)


def test_plaintext_may_be_any_buffer(entropy: Entropy) -> None:
    """
    Bytes, bytearrays and views of either, of any item size, are encrypted as their bytes.
    """
    data = random.Random(0).randbytes(40_000)
    buffers: list[Buffer] = [data, bytearray(data), memoryview(data), memoryview(data).cast("I")]
    for plaintext in buffers:
        part = ChunkedCipher(entropy).encrypt(KEY, context=CONTEXT, plaintext=plaintext)
        blob = b"".join(bytes(piece) for piece in part.pieces)
        assert decrypt_message(KEY, context=CONTEXT, ciphertext=blob) == data


def test_short_entropy_encrypts_nothing() -> None:
    """
    Too few random bytes are detected before anything is encrypted.
    """

    class Dry:
        def random_bytes(self, size: int) -> bytes:
            return bytes(size - 1)

    with pytest.raises(InvalidValue):
        ChunkedCipher(Dry()).encrypt(KEY, context=CONTEXT, plaintext=b"x")


def test_swapped_header_in_the_blob_is_refused(two_windows: Stored) -> None:
    """
    A blob whose header differs from the manifest's is refused, though its chunks would authenticate.
    """
    for where in range(HEADER_BYTES):
        blob = bytearray(two_windows.blob)
        blob[where] ^= 0x10
        with pytest.raises(AuthenticationFailed, match="header"):
            two_windows.read(ByteRange(0, 1), bytes(blob))


def test_every_flip_in_a_window_is_refused(two_windows: Stored) -> None:
    """
    A flipped bit anywhere in the chunks of a range is refused when the range is read.
    """
    span = ByteRange(WINDOW - 5, WINDOW + 5)
    start = HEADER_BYTES + (WINDOW_CHUNKS - 1) * ENCRYPTED_CHUNK_BYTES
    stop = start + 2 * ENCRYPTED_CHUNK_BYTES
    drawn = random.Random(2).sample(range(start, stop), 300)
    for where in (start, start + CHUNK_BYTES, start + ENCRYPTED_CHUNK_BYTES - 1, stop - 1, *drawn):
        blob = bytearray(two_windows.blob)
        blob[where] ^= 1 << where % 8
        with pytest.raises(AuthenticationFailed):
            two_windows.read(span, bytes(blob))


def test_bytes_are_returned_only_after_authentication(two_windows: Stored) -> None:
    """
    Windows before a damaged one are returned; of the damaged one, damaged in its last byte, nothing is.
    """
    reader = two_windows.reader()
    first, second, _ = reader.windows(two_windows.whole)
    blob = bytearray(two_windows.blob)
    blob[second.stop - 1] ^= 1
    source = memoryview(blob)
    decrypted = reader.decrypt(first, source[first.start : first.stop], two_windows.whole)
    assert decrypted == two_windows.plaintext[:WINDOW]
    with pytest.raises(AuthenticationFailed):
        reader.decrypt(second, source[second.start : second.stop], two_windows.whole)


def test_closing_chunk_without_plaintext_is_checked(full_chunks: Stored) -> None:
    """
    Reading the last byte of a part also authenticates the empty chunk that closes it.
    """
    blob = bytearray(full_chunks.blob)
    blob[-1] ^= 1
    end = len(full_chunks.plaintext)
    with pytest.raises(AuthenticationFailed):
        full_chunks.read(ByteRange(end - 1, end), bytes(blob))
    assert full_chunks.read(ByteRange(end - 2, end - 1), bytes(blob)) == full_chunks.plaintext[-2:-1]


@pytest.mark.parametrize("cut", [1, 15, 16, 17, ENCRYPTED_CHUNK_BYTES, WINDOW])
def test_truncated_window_is_refused(cut: int, two_windows: Stored) -> None:
    """
    A window with missing bytes is refused, even if it ends between two chunks.
    """
    reader = two_windows.reader()
    window = next(reader.windows(two_windows.whole))
    with pytest.raises(AuthenticationFailed):
        reader.decrypt(window, memoryview(two_windows.blob)[: window.stop - cut], two_windows.whole)


def test_wrong_part_size_is_refused(full_chunks: Stored) -> None:
    """
    A manifest with a wrong size, by a byte or a chunk, is refused.
    """
    size = len(full_chunks.plaintext)
    for other in (size - 1, size + 1, size - CHUNK_BYTES, size - CHUNK_BYTES + 1):
        reader, whole = full_chunks.reader(size=other), ByteRange(0, other)
        source = memoryview(full_chunks.blob + bytes(ENCRYPTED_CHUNK_BYTES))

        def read(reader: PartReader = reader, whole: ByteRange = whole, source: memoryview = source) -> None:
            for window in reader.windows(whole):
                reader.decrypt(window, source[window.start : window.stop], whole)

        with pytest.raises(AuthenticationFailed):
            read()


ODD_WINDOWS = [
    ByteRange(1, HEADER_BYTES + ENCRYPTED_CHUNK_BYTES),
    ByteRange(HEADER_BYTES - 1, HEADER_BYTES + ENCRYPTED_CHUNK_BYTES),
    ByteRange(HEADER_BYTES + 1, HEADER_BYTES + ENCRYPTED_CHUNK_BYTES),
    ByteRange(0, HEADER_BYTES),
    ByteRange(0, HEADER_BYTES + 1),
    ByteRange(0, HEADER_BYTES + ENCRYPTED_CHUNK_BYTES - 1),
    ByteRange(0, HEADER_BYTES + ENCRYPTED_CHUNK_BYTES + TAG_BYTES),
    ByteRange(0, 0),
]


@pytest.mark.parametrize("window", ODD_WINDOWS, ids=lambda window: f"{window.start}-{window.stop}")
def test_window_of_incomplete_chunks_is_refused(window: ByteRange, two_windows: Stored) -> None:
    """
    Only runs of complete chunks are decrypted.
    """
    ciphertext = memoryview(two_windows.blob)[window.start : window.stop]
    with pytest.raises(AuthenticationFailed):
        two_windows.reader().decrypt(window, ciphertext, two_windows.whole)


def test_window_beyond_the_part_is_refused(two_windows: Stored) -> None:
    """
    The part ends where the manifest says, even if authentic chunks follow in the blob.
    """
    reader = two_windows.reader(size=CHUNK_BYTES + 1)
    window = ByteRange(0, HEADER_BYTES + 2 * ENCRYPTED_CHUNK_BYTES)
    with pytest.raises(AuthenticationFailed):
        reader.decrypt(window, memoryview(two_windows.blob)[: window.stop], ByteRange(0, CHUNK_BYTES + 1))


def test_decrypted_bytes_are_bytes(two_windows: Stored) -> None:
    """
    Decrypted content is a `bytes` object, which servers send without another copy.
    """
    reader = two_windows.reader()
    window = next(reader.windows(two_windows.whole))
    plaintext = reader.decrypt(window, memoryview(two_windows.blob)[: window.stop], two_windows.whole)
    assert type(plaintext) is bytes


def test_no_secret_is_in_repr(two_windows: Stored, entropy: Entropy) -> None:
    """
    The `repr` of an encrypted part and of a reader contains neither key nor header.
    """
    part = ChunkedCipher(entropy).encrypt(KEY, context=CONTEXT, plaintext=b"x")
    shown = repr(part) + repr(two_windows.reader())
    assert repr(KEY.reveal())[2:-1] not in shown
    assert part.header.hex() not in shown
    assert repr(part.header)[2:-1] not in shown
