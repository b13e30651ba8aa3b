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
    ENCRYPTED_CHUNK_BYTES,
    HEADER_BYTES,
    SALT_BYTES,
    TAG_BYTES,
    Message,
    ciphertext_length,
)
from sft_core.errors import AuthenticationFailed
from sft_core.ports import Entropy
from sft_core.values import ByteRange, Secret
from sft_core.vault.ports import Buffer, EncryptedPart

WINDOW_CHUNKS: Final = 128
"""The maximum number of full chunks in a window; an empty last chunk is added to the final window."""

BATCH_CHUNKS: Final = 16
"""The number of chunks encrypted before they are returned: few enough for the processor's cache."""
_BATCH_BYTES: Final = BATCH_CHUNKS * CHUNK_BYTES
_MAX_BATCH_BYTES: Final = HEADER_BYTES + BATCH_CHUNKS * ENCRYPTED_CHUNK_BYTES + TAG_BYTES


@attrs.frozen
class ChunkedCipher:
    """
    Implements `sft_core.vault.ports.ContentCipher`: each part has a fresh salt from `entropy`.

    The plaintext of a part must not change until its pieces are consumed.
    """

    entropy: Entropy

    def encrypt(self, key: Secret, *, context: bytes, plaintext: Buffer) -> EncryptedPart:
        message = Message.new(key, salt=self.entropy.random_bytes(SALT_BYTES), context=context)
        view = memoryview(plaintext).cast("B")
        size = ciphertext_length(len(view))
        return EncryptedPart(header=message.header, size=size, pieces=_encrypted_pieces(message, view, size))

    def reader(self, key: Secret, *, context: bytes, header: bytes, size: int) -> PartReader:
        message = Message.open(key, header=header, context=context)
        return PartReader(message=message, size=size, encrypted_size=ciphertext_length(size))


def _encrypted_pieces(message: Message, plaintext: memoryview, encrypted_size: int) -> Iterator[memoryview]:
    """
    Yield the encrypted message, which starts with the header, in pieces that share one buffer.
    """
    buffer = memoryview(bytearray(min(encrypted_size, _MAX_BATCH_BYTES)))
    buffer[:HEADER_BYTES] = message.header
    filled = HEADER_BYTES
    size = len(plaintext)
    for start in range(0, size or 1, _BATCH_BYTES):
        stop = min(start + _BATCH_BYTES, size)
        first, last = start // CHUNK_BYTES, stop == size
        filled += message.encrypt_run(first, plaintext[start:stop], buffer[filled:], last=last)
        yield buffer[:filled]
        filled = 0


@attrs.frozen(kw_only=True)
class PartReader:
    """
    Implements `sft_core.vault.ports.PartReader`.

    `size` is the plaintext's length according to the manifest, never to the blob. Therefore a blob that was cut between
    two chunks is detected like a changed one.
    """

    _message: Message
    _size: int
    _encrypted_size: int

    def windows(self, span: ByteRange) -> Iterator[ByteRange]:
        """
        Yield ranges of at most 128 full chunks each.

        The range with chunk 0 includes the header, so that an exchanged header is
        detected. The range with the part's last byte includes the last chunk, even an empty one.
        """
        wanted = ByteRange(0, self._size).intersection(span)
        if not len(wanted):
            return
        last = (wanted.stop - 1) // CHUNK_BYTES + 1
        for first in range(wanted.start // CHUNK_BYTES, last, WINDOW_CHUNKS):
            stop = min(first + WINDOW_CHUNKS, last)
            closing = stop == last and wanted.stop == self._size
            end = self._encrypted_size if closing else min(_chunk_offset(stop), self._encrypted_size)
            yield ByteRange(_chunk_offset(first) if first else 0, end)

    def decrypt(self, window: ByteRange, ciphertext: memoryview, span: ByteRange) -> bytes:
        lead = HEADER_BYTES if window.start == 0 else 0
        first = self._first_chunk(window, len(ciphertext))
        if lead and ciphertext[:lead] != self._message.header:
            raise AuthenticationFailed("the stored header differs from the one in the manifest")
        plaintext = self._message.decrypt_run(first, ciphertext[lead:])
        begin = first * CHUNK_BYTES
        wanted = ByteRange(begin, begin + len(plaintext)).intersection(span).shifted(-begin)
        return plaintext[wanted.start : wanted.stop]

    def _first_chunk(self, window: ByteRange, length: int) -> int:
        """
        Return the number of the first chunk in a window of this part.

        This checks only what authentication cannot detect: a run of authentic chunks that is shorter than requested,
        and a window beyond the end of the part.
        """
        first = max(window.start - HEADER_BYTES, 0) // ENCRYPTED_CHUNK_BYTES
        if length != len(window) or not _chunk_offset(first) < window.stop <= self._encrypted_size:
            raise AuthenticationFailed("the bytes are not a run of chunks of this part")
        return first


def _chunk_offset(number: int) -> int:
    return HEADER_BYTES + number * ENCRYPTED_CHUNK_BYTES
