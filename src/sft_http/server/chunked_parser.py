"""
How a connection takes in a body that comes in small pieces: so many at a time, and joined.

A quarter of a million bytes may come at once, in chunks of one byte each. Taken as one they would
hold the event loop for a third of a second, for each connection that sends so, and every byte would
be handed on by itself. Here others have their turn in between, and what has come is handed on
together.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any, Final

from gunicorn.asgi.parser import InvalidChunkExtension, InvalidChunkSize, PythonProtocol
from gunicorn.asgi.protocol import BodyReceiver
from gunicorn.http.body import CHUNK_EXT_RE

MAX_CHUNKS_PER_FEED: Final = 256
"""How many chunks are taken before others have their turn: a few hundred microseconds."""
MAX_COALESCED_BYTES: Final = 32 << 10
"""How long a piece may get while it waits: too short to count as one that comes fast (`sft_http.asgi.exchange`)."""
MAX_FRAMING_BYTES: Final = 16 << 10
"""How many bytes the lines between a body's chunks may have beyond what they need."""

_FREE_BYTES_PER_CHUNK: Final = 16
"""What each line may have, so that a body may come byte by byte."""
_FREE_BYTES_PER_BYTE: Final = 2
"""What it may have beside for each byte of its chunk."""
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]+)" + CHUNK_EXT_RE.pattern + rb"\r\n")
_END: Final = b"\r\n"


class BoundedChunkParser(PythonProtocol):  # type: ignore[misc]  # gunicorn ships no types
    """
    gunicorn's parser, which takes no more than `MAX_CHUNKS_PER_FEED` of a chunked body each time it is fed.

    What it takes by itself is whole and well-formed (RFC 9112, section 7.1). Every line it does not
    know is its base class's to judge, and so are trailers: nothing passes here that would not there.
    Extensions mean nothing to anybody here, and their length is bounded (RFC 9112, section 7.1.1).
    """

    has_backlog: bool
    """Whether chunks are left that could be taken: an empty `feed` goes on with them."""
    _buffer: bytearray
    _chunk_state: str
    _chunk_size: int
    _chunk_remaining: int
    _scan_from: int

    def __init__(self, **named: Any) -> None:  # noqa: ANN401 (the base class's own)
        super().__init__(**named)
        self.has_backlog = False
        self._framing_bytes = 0

    @property
    def unparsed_bytes(self) -> int:
        """
        How many bytes have come that it has not taken.
        """
        return len(self._buffer)

    def reset(self) -> None:
        """
        Begin with the next request.
        """
        super().reset()
        self._framing_bytes = 0

    def _parse_chunked_body(self) -> bool:
        pieces: list[bytearray] = []
        try:
            self.has_backlog = self._parse_available(pieces)
        finally:
            # Also before something malformed: it has come, and an upload may go on behind it.
            if pieces:
                self._on_body(b"".join(pieces))
        # They are few: trailers count as header fields.
        return self._chunk_state == "trailer" and bool(super()._parse_chunked_body())

    def _parse_available(self, pieces: list[bytearray]) -> bool:
        """
        Take what may be taken at once; True if there is more.
        """
        left = MAX_CHUNKS_PER_FEED
        while self._buffer and self._chunk_state != "trailer":
            if left <= 0:
                return True
            left -= self._parse_whole_chunks(pieces, left)
            left -= 1
            if not self._parse_step(pieces):
                break
        return False

    def _parse_whole_chunks(self, pieces: list[bytearray], limit: int) -> int:
        """
        Take as many chunks as have come from their sizes to their ends; returns how many.
        """
        # The beginning of a line that has been searched for its end is not looked at again with each byte that comes.
        if self._chunk_state != "size" or self._scan_from:
            return 0
        buffer, at, count = self._buffer, 0, 0
        while count < limit and (line := _SIZE_LINE.match(buffer, at, at + MAX_FRAMING_BYTES)):
            start = line.end()
            size = int(line[1], 16)
            end = start + size
            if not size or not buffer.startswith(_END, end):
                break
            self._count_framing(start - at, size)
            pieces.append(buffer[start:end])
            at = end + len(_END)
            count += 1
        if count:
            del buffer[:at]
            # Where the search for the end of a line would have gone on.
            self._scan_from = 0
        return count

    def _parse_step(self, pieces: list[bytearray]) -> bool:
        """
        Take what has come of a chunk's content, or one line; False if its end has yet to come.
        """
        buffer = self._buffer
        if self._chunk_state == "data":
            piece = buffer[: self._chunk_remaining]
            del buffer[: len(piece)]
            pieces.append(piece)
            self._chunk_remaining -= len(piece)
            if not self._chunk_remaining:
                self._chunk_state = "crlf"
            return True
        is_size = self._chunk_state == "size"
        length = len(_END)
        if is_size:
            length += self._find_line(self._line_limit(), InvalidChunkSize("the line has no end"))
        if not len(_END) <= length <= len(buffer):
            return False
        if length > MAX_FRAMING_BYTES:
            raise InvalidChunkExtension("too long")
        # The base class would go on to the end of whatever it finds in its buffer.
        self._buffer = buffer[:length]
        try:
            super()._parse_chunked_body()
        finally:
            del buffer[:length]
            self._buffer = buffer
        if is_size:
            self._count_framing(length, self._chunk_size)
        return True

    def _count_framing(self, length: int, size: int) -> None:
        """
        Count what the line before a chunk of that size has beyond its need; `InvalidChunkExtension` if it is too much.
        """
        self._framing_bytes += length - _FREE_BYTES_PER_CHUNK - _FREE_BYTES_PER_BYTE * size
        if self._framing_bytes < 0:
            self._framing_bytes = 0
        elif self._framing_bytes > MAX_FRAMING_BYTES:
            raise InvalidChunkExtension("too many bytes that are no content")


class CoalescingReceiver(BodyReceiver):  # type: ignore[misc]  # gunicorn ships no types
    """
    gunicorn's queue of the pieces of a body that have come, in which small ones become one.

    So few of them wait, however small they came: bytes that wait are counted, and what each piece
    costs beside them is not.
    """

    _chunks: deque[bytes | bytearray]
    _buffered: int

    def feed(self, chunk: bytes) -> None:
        """
        Put a piece behind those that wait, or add it to the last one.
        """
        if not self._chunks or len(self._chunks[-1]) + len(chunk) > MAX_COALESCED_BYTES:
            super().feed(chunk)
            return
        last = self._chunks[-1]
        if not isinstance(last, bytearray):
            self._chunks[-1] = last = bytearray(last)
        last += chunk
        self._buffered += len(chunk)

    def _pop_chunk(self) -> dict[str, Any]:
        message: dict[str, Any] = super()._pop_chunk()
        # The application is promised bytes; those that were joined to none are not copied.
        message["body"] = bytes(message["body"])
        return message
