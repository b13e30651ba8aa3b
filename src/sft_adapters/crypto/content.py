"""
The vault's content cipher: each part is one message of the chunked scheme.

Parts are read and decrypted in windows of about 2 MiB.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from sft_adapters.crypto.chunked import (
    CHUNK_BYTES,
    HEADER_BYTES,
    SALT_BYTES,
    SEALED_CHUNK_BYTES,
    TAG_BYTES,
    Message,
    sealed_length,
)
from sft_core.errors import AuthenticationFailed
from sft_core.ports import Entropy
from sft_core.values import ByteRange, Secret
from sft_core.vault.ports import Buffer, EncryptedPart

WINDOW_CHUNKS: Final = 128
"""The maximum number of full chunks in a window; an empty last chunk is added to the final window."""

PIECE_CHUNKS: Final = 16
"""The number of chunks encrypted before they are returned: few enough for the processor's cache."""
_PIECE_BYTES: Final = PIECE_CHUNKS * CHUNK_BYTES
_LARGEST_PIECE: Final = HEADER_BYTES + PIECE_CHUNKS * SEALED_CHUNK_BYTES + TAG_BYTES


@attrs.frozen
class ChunkedCipher:
    """
    Implements `sft_core.vault.ports.ContentCipher`; salts come from `entropy`.
    """

    entropy: Entropy

    def encrypt(self, key: Secret, *, context: bytes, plaintext: Buffer) -> EncryptedPart:
        """
        Encrypt one part under a fresh salt.

        The plaintext must not change until the pieces are consumed.
        """
        message = Message.begin(key, salt=self.entropy.random_bytes(SALT_BYTES), context=context)
        view = memoryview(plaintext).cast("B")
        size = sealed_length(len(view))
        return EncryptedPart(header=message.header, size=size, pieces=_pieces(message, view, size))

    def reader(self, key: Secret, *, context: bytes, header: bytes, size: int) -> PartReader:
        """
        Prepare to decrypt a part of `size` plaintext bytes; the header is authenticated here.
        """
        message = Message.open(key, header=header, context=context)
        return PartReader(message=message, size=size, sealed=sealed_length(size))


def _pieces(message: Message, plaintext: memoryview, sealed: int) -> Iterator[memoryview]:
    """
    Yield the encrypted message in pieces that share one buffer.

    The first starts with the header.
    """
    buffer = memoryview(bytearray(min(sealed, _LARGEST_PIECE)))
    buffer[:HEADER_BYTES] = message.header
    filled = HEADER_BYTES
    size = len(plaintext)
    for start in range(0, size or 1, _PIECE_BYTES):
        stop = min(start + _PIECE_BYTES, size)
        filled += message.encrypt_run(
            start // CHUNK_BYTES,
            plaintext[start:stop],
            buffer[filled:],
            last=stop == size,
        )
        yield buffer[:filled]
        filled = 0


@attrs.frozen(kw_only=True)
class PartReader:
    """
    A decrypter of one part whose header is authenticated; created by `ChunkedCipher.reader`.

    `size` is the plaintext's length according to the manifest, never to the blob. Therefore a blob
    that was cut between two chunks is detected like a changed one.
    """

    _message: Message
    _size: int
    _sealed: int

    def windows(self, span: ByteRange) -> Iterator[ByteRange]:
        """
        Yield the ranges of the stored blob that contain `span`, in order.

        Each has at most 128 full chunks. The range with chunk 0 includes the header, so that an
        exchanged header is detected. The range with the part's last byte includes the last chunk, even
        an empty one.
        """
        wanted = ByteRange(0, self._size).intersection(span)
        if not len(wanted):
            return
        last = (wanted.stop - 1) // CHUNK_BYTES + 1
        for first in range(wanted.start // CHUNK_BYTES, last, WINDOW_CHUNKS):
            stop = min(first + WINDOW_CHUNKS, last)
            closing = stop == last and wanted.stop == self._size
            yield ByteRange(_offset(first) if first else 0, self._sealed if closing else self._end(stop))

    def decrypt(self, window: ByteRange, ciphertext: memoryview, span: ByteRange) -> bytes:
        """
        Authenticate one window and return those of its plaintext bytes that are in `span`.
        """
        lead = HEADER_BYTES if window.start == 0 else 0
        first = self._first_chunk(window, len(ciphertext))
        if lead and ciphertext[:lead] != self._message.header:
            raise AuthenticationFailed("the stored header differs from the one in the manifest")
        plaintext = self._message.decrypt_run(first, ciphertext[lead:])
        begin = first * CHUNK_BYTES
        wanted = ByteRange(begin, begin + len(plaintext)).intersection(span).shifted(-begin)
        return plaintext[wanted.start : wanted.stop]

    def _end(self, number: int) -> int:
        """
        Return the offset in the stored blob at which the chunk before chunk `number` ends.
        """
        return min(_offset(number), self._sealed)

    def _first_chunk(self, window: ByteRange, length: int) -> int:
        """
        Return the number of the first chunk in a window of this part.

        This checks only what authentication cannot detect: a run of authentic chunks that is shorter
        than requested, and a window beyond the end of the part.
        """
        first = max(window.start - HEADER_BYTES, 0) // SEALED_CHUNK_BYTES
        if length != len(window) or not _offset(first) < window.stop <= self._sealed:
            raise AuthenticationFailed("the bytes are not a run of chunks of this part")
        return first


def _offset(number: int) -> int:
    """
    Return the offset of chunk `number` in the stored blob.
    """
    return HEADER_BYTES + number * SEALED_CHUNK_BYTES
