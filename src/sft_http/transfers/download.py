"""
Decrypted bytes for clients; a slow client occupies no thread and no database connection.

A thread decrypts a piece and sends it, then the next one, for as long as the client accepts them at once; meanwhile
another idle thread reads and decrypts the next piece. If the client does not, the event loop waits for it, and no
thread does. Data that was read and waits, for a client or for a thread, is kept within a memory budget (`ReadAhead`):
the stream that has waited longest loses its data, and reads it again later. The process holds no more than that budget,
the pieces that threads work on, and the first bytes of each response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import attrs

from sft_core.errors import Damaged, SftError
from sft_core.values import ByteRange
from sft_core.vault.ports import Buffer
from sft_http.asgi.socket_handle import SocketHandle
from sft_http.concurrency.memory_budgets import ReadAhead
from sft_http.concurrency.thread_pools import ThreadPools

_MAX_THREAD_BYTES: Final = 16 << 20
"""How much a thread sends of one download before it serves another transfer."""
_FIRST_BYTES: Final = 64 << 10
"""How much of a download the event loop gets at once: it keeps unsent data."""
_PIECE_BYTES: Final = 2 << 20
"""About how much the vault reads at once."""
_SLOW_READ_BYTES: Final = 512 << 10
"""The read size while memory is short: a slow client may accept no more."""


@attrs.define(eq=False)
class DownloadStream:
    """
    An asynchronous iterator over the decrypted bytes of a range.

    Call `prime` before iterating, and `release` in any case. The iterator produces exactly the bytes of the range or
    raises. It never ends early, because after a clean end the bytes of the next response would become part of the
    client's file. With a handle of the connection's socket, threads send most of the bytes themselves: then the
    iterator yields an empty piece each time, and `SocketHandle.sent_bytes` counts them.
    """

    _pools: ThreadPools
    _read: Callable[[ByteRange], Iterator[Buffer]]
    _span: ByteRange
    _handle: SocketHandle | None = None
    _position: int = attrs.field(init=False)
    """The first byte that was neither yielded nor sent."""
    _first_bytes: bytes = attrs.field(default=b"", init=False)
    """The first bytes of the response; never discarded, because a counted download depends on them."""
    _piece: memoryview = attrs.field(default=memoryview(b""), init=False)
    """Decrypted bytes from the position on."""
    _piece_memory: int = attrs.field(default=0, init=False)
    """How much memory the piece occupies, including bytes of it that were sent."""
    _next_piece: Buffer = attrs.field(default=b"", init=False)
    """The piece behind it, if it was read already."""
    _pieces: Iterator[Buffer] = attrs.field(factory=lambda: iter(()), init=False)
    _pieces_end: int = attrs.field(init=False)
    """The position at which the iterator of pieces ends."""
    _awaits_client: bool = attrs.field(default=False, init=False)
    _lacked_memory: bool = attrs.field(default=False, init=False)
    """Whether the read-ahead budget was exhausted for this stream."""
    _read_ahead: ReadAhead = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._position = self._pieces_end = self._span.start
        self._read_ahead = self._pools.limits.read_ahead

    async def prime(self) -> None:
        """
        Decrypt the first bytes: an unreadable file becomes a problem, not a cut-off download.

        Raises:
            Busy: no thread is free in time. This applies to the first bytes only.
            SftError: the vault cannot read the file.
        """
        if len(self._span):
            self._first_bytes = await self._pools.transfer(self._next_slice)

    def __aiter__(self) -> DownloadStream:
        return self

    async def __anext__(self) -> bytes:
        if self._first_bytes:
            first, self._first_bytes = self._first_bytes, b""
            return first
        if self._position == self._span.stop:
            raise StopAsyncIteration
        handle = self._handle
        if handle is None or not handle.is_idle:
            return await self._read_for_loop()
        while True:
            if self._awaits_client:
                await handle.wait_until_writable()
            sent = await self._pools.transfer.run_without_limit(self._send, handle)
            if handle.is_broken:
                await handle.abort()
            if sent:
                return b""

    def release(self) -> None:
        """
        Release all memory, however the download ended.
        """
        self._read_ahead.reclaim(self)
        self.discard()
        self._first_bytes = b""

    def discard(self) -> None:
        """
        Discard the data that was read; it is read again when it is needed.
        """
        self._piece, self._piece_memory, self._next_piece = memoryview(b""), 0, b""
        self._pieces, self._pieces_end, self._lacked_memory = iter(()), self._position, True

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """
        Reclaim the data for the block; return the rest to the read-ahead budget afterwards.
        """
        self._read_ahead.reclaim(self)
        try:
            yield
        finally:
            memory = self._piece_memory + len(self._next_piece)
            if memory:
                self._read_ahead.retain(self, memory)

    async def _read_for_loop(self) -> bytes:
        if self._piece:
            self._read_ahead.reclaim(self)
        # Checked again: until it was reclaimed, another stream may have caused it to be discarded.
        return self._next_slice() if self._piece else await self._pools.transfer.run_without_limit(self._next_slice)

    def _next_slice(self) -> bytes:
        """
        Return the event loop's next bytes; called in a thread if they must be read.
        """
        with self._exclusive():
            if not self._piece:
                self._fill()
            data = bytes(self._piece[:_FIRST_BYTES])
            self._advance(len(data))
        return data

    def _send(self, handle: SocketHandle) -> int:
        """
        Decrypt and send until the client accepts no more or `_MAX_THREAD_BYTES` are sent.
        """
        sent = 0
        self._awaits_client = False
        with self._exclusive():
            while self._position < self._span.stop and sent < _MAX_THREAD_BYTES and not self._awaits_client:
                # Data for a slow client would wait with it and might be discarded: read once it accepts more.
                if not self._piece and not handle.is_fast and not handle.is_writable():
                    self._awaits_client = True
                    break
                if not self._piece:
                    self._fill()
                sent += self._send_piece(handle)
                self._awaits_client = bool(self._piece)
        return sent

    def _send_piece(self, handle: SocketHandle) -> int:
        """
        Send from the piece while another idle thread reads the next; return the byte count.

        No piece is read ahead for a slow client, for which it would wait, nor beyond the read-ahead budget. If reading
        fails, it is repeated when the piece is needed, and raises its error then.
        """
        prefetch = None
        has_more = not self._next_piece and self._position + len(self._piece) < self._pieces_end
        if has_more and handle.is_fast and self._read_ahead.fits(self._piece_memory + _PIECE_BYTES):
            prefetch = self._pools.transfer.try_run(partial(next, self._pieces, b""))
        try:
            count = handle.send(self._piece)
            self._advance(count)
        finally:
            # Regardless of the outcome: no other thread may read before this read has ended.
            if prefetch is not None and not prefetch.cancel():
                try:
                    self._next_piece = prefetch.result()
                except SftError:
                    self._pieces_end = self._position + len(self._piece)
        return count

    def _advance(self, count: int) -> None:
        self._position += count
        if count < len(self._piece):
            self._piece = self._piece[count:]
        else:
            self._piece, self._piece_memory = memoryview(b""), 0

    def _fill(self) -> None:
        if self._position == self._pieces_end:
            self._pieces_end = min(self._position + self._read_size(), self._span.stop)
            self._pieces = self._read(ByteRange(self._position, self._pieces_end))
        # Empty behind the last piece.
        piece, self._next_piece = self._next_piece or next(self._pieces, b""), b""
        if not 0 < len(piece) <= self._pieces_end - self._position:
            raise Damaged("the content ended before the promised length")
        self._piece, self._piece_memory = memoryview(piece), len(piece)

    def _read_size(self) -> int:
        """
        Return how many bytes to read next: the whole rest, unless memory is short.
        """
        left = self._span.stop - self._position
        if self._position == self._span.start and not self._read_ahead.fits(min(left, _PIECE_BYTES)):
            self._lacked_memory = True
            return _FIRST_BYTES
        if self._lacked_memory:
            # While the client is slow, no more is read at once.
            self._lacked_memory = self._handle is not None and not self._handle.is_fast
            return _SLOW_READ_BYTES
        return left
