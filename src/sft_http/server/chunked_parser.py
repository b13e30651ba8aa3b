"""
Bounds on bodies in small pieces: chunks a feed, framing bytes, queued pieces.

A quarter of a mebibyte may arrive at once in chunks of one byte. Parsed in one go it would block the event loop for a
third of a second for each such connection. So a feed parses a limited number of chunks, and the protocol continues
with the rest after other connections (`RoundRobin`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gunicorn.asgi.parser import InvalidChunkExtension

from sft_http.server.gunicorn_internals import BodyQueue, RequestParser

MAX_CHUNKS_PER_FEED: Final = 64
"""How many chunks are parsed before other connections are served: 0.6 milliseconds."""
MAX_COALESCED_BYTES: Final = 32 << 10
"""The length up to which queued pieces are joined."""
MAX_FRAMING_BYTES: Final = 16 << 10
"""The most bytes of one line between chunks, and of all lines beyond their allowance."""

_FRAMING_BYTES_PER_CHUNK: Final = 16
"""The allowance of each line, so that a body may arrive byte by byte."""
_FRAMING_BYTES_PER_BYTE: Final = 2
"""The further allowance of a line for each byte of its chunk."""
_CRLF_BYTES: Final = 2


class BoundedChunkParser(RequestParser):
    """
    gunicorn's parser, which parses at most `MAX_CHUNKS_PER_FEED` chunks a feed, and bounds their framing.

    Chunk extensions have no meaning here, and their length is bounded (RFC 9112, section 7.1.1).
    """

    def __init__(self, *, on_body: Callable[[bytes], object], **named: Any) -> None:  # noqa: ANN401 (the base class's)
        super().__init__(on_body=self._pass_on, **named)
        self._on_piece = on_body
        self._backlog = bytearray()
        self._chunks_left = MAX_CHUNKS_PER_FEED
        self._line_bytes = self._framing_bytes = 0

    @property
    def has_backlog(self) -> bool:
        """
        Whether a feed has stopped at its limit: an empty feed continues.
        """
        return bool(self._backlog)

    @property
    def unparsed_bytes(self) -> int:
        """
        How many received bytes are not parsed.
        """
        return len(self.unparsed) + len(self._backlog)

    def feed(self, data: bytes) -> None:
        """
        Parse received bytes up to the chunk limit; raise `ParseError` also for too much framing.
        """
        if self._backlog:
            self.unparsed, self._backlog = self._backlog, bytearray()
        self._chunks_left = MAX_CHUNKS_PER_FEED
        super().feed(data)

    def reset(self) -> None:
        super().reset()
        self._framing_bytes = 0

    def find_line(self, limit: int, error: Exception) -> int:
        """
        Find the end of a line; raise `InvalidChunkExtension` if one between chunks is too long.
        """
        length = super().find_line(limit, error)
        if self.is_at_chunk_size:
            if length > MAX_FRAMING_BYTES - _CRLF_BYTES:
                raise InvalidChunkExtension("too long")
            self._line_bytes = length + _CRLF_BYTES
        elif self._line_bytes:
            # The line with the size of the last chunk, which has no piece.
            self._count_framing()
        return length

    def _pass_on(self, piece: bytes) -> None:
        """
        Pass on a piece of a body, and end the feed at the chunk limit.

        Raises `InvalidChunkExtension` for too much framing.
        """
        if not self.is_chunked:
            self._on_piece(piece)
            return
        if self._line_bytes:
            # The first piece of a chunk, behind the line with its size.
            self._count_framing()
        self._on_piece(piece)
        self._chunks_left -= 1
        if not self._chunks_left:
            # The base class parses until its buffer is empty.
            self.unparsed, self._backlog = bytearray(), self.unparsed

    def _count_framing(self) -> None:
        allowed = _FRAMING_BYTES_PER_CHUNK + _FRAMING_BYTES_PER_BYTE * self.chunk_size
        excess = self._framing_bytes + self._line_bytes - allowed
        self._line_bytes, self._framing_bytes = 0, max(0, excess)
        if excess > MAX_FRAMING_BYTES:
            raise InvalidChunkExtension("too many bytes that are no content")


class CoalescingReceiver(BodyQueue):
    """
    gunicorn's queue of a body's pieces, which joins small ones.

    So it is short: the bytes of pieces are counted, but not the memory that each piece occupies beside them.
    """

    def feed(self, chunk: bytes) -> None:
        pieces = self.pieces
        if not pieces or len(pieces[-1]) + len(chunk) > MAX_COALESCED_BYTES:
            super().feed(chunk)
            return
        last = pieces[-1]
        if not isinstance(last, bytearray):
            pieces[-1] = last = bytearray(last)
        last += chunk
        self.queued_bytes += len(chunk)

    def next_message(self) -> dict[str, Any]:
        message = super().next_message()
        # ASGI requires bytes; a piece that was never joined is not copied.
        message["body"] = bytes(message["body"])
        return message
