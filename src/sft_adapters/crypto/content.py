"""
The vault's content cipher: each part one message of the chunked scheme, in windows of about 2 MiB.
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
"""How many full chunks a window holds at most; a closing chunk without plaintext rides along."""

PIECE_CHUNKS: Final = 16
"""How many chunks are encrypted before they are given away: few, so that they stay in the processor's cache."""
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
        Encrypt one part under a fresh salt; the plaintext must stay as it is until the pieces are taken.
        """
        message = Message.begin(key, salt=self.entropy.draw(SALT_BYTES), context=context)
        view = memoryview(plaintext).cast("B")
        size = sealed_length(len(view))
        return EncryptedPart(header=message.header, size=size, pieces=_pieces(message, view, size))

    def reader(self, key: Secret, *, context: bytes, header: bytes, size: int) -> PartReader:
        """
        Prepare to decrypt a part of `size` plaintext bytes; the header is checked here.
        """
        message = Message.open(key, header=header, context=context)
        return PartReader(message=message, size=size, sealed=sealed_length(size))


def _pieces(message: Message, plaintext: memoryview, sealed: int) -> Iterator[memoryview]:
    """
    The message in pieces, the header at the front of the first; they share one buffer.
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
    Decrypts one part whose header has been checked; made by `ChunkedCipher.reader`.

    `size` is the plaintext's length and comes from the manifest, never from the blob, so a blob
    that was cut between two chunks is found out like one that was changed.
    """

    _message: Message
    _size: int
    _sealed: int

    def windows(self, span: ByteRange) -> Iterator[ByteRange]:
        """
        The runs of the stored blob that hold `span`, in order, each of 128 full chunks at most.

        The run that holds chunk 0 takes the header along, so that a swapped one is seen; the run
        that ends with the part's last byte takes the closing chunk along, even an empty one.
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
        Authenticate one window and return those of its plaintext bytes that lie in `span`.
        """
        lead = HEADER_BYTES if window.start == 0 else 0
        first = self._first_chunk(window, len(ciphertext))
        if lead and ciphertext[:lead] != self._message.header:
            raise AuthenticationFailed("the stored header is not the manifest's")
        plaintext = self._message.decrypt_run(first, ciphertext[lead:])
        begin = first * CHUNK_BYTES
        wanted = ByteRange(begin, begin + len(plaintext)).intersection(span).shifted(-begin)
        return plaintext[wanted.start : wanted.stop]

    def _end(self, number: int) -> int:
        """
        Where the chunk before chunk `number` ends in the stored blob.
        """
        return min(_offset(number), self._sealed)

    def _first_chunk(self, window: ByteRange, length: int) -> int:
        """
        The number of the chunk that a window of this part begins with.

        Only what authentication cannot see is checked here: a run of fewer chunks than asked for,
        each of them authentic, and one that goes beyond the part.
        """
        first = max(window.start - HEADER_BYTES, 0) // SEALED_CHUNK_BYTES
        if length != len(window) or not _offset(first) < window.stop <= self._sealed:
            raise AuthenticationFailed("not a run of chunks of this part")
        return first


def _offset(number: int) -> int:
    """
    Where chunk `number` begins in the stored blob.
    """
    return HEADER_BYTES + number * SEALED_CHUNK_BYTES
