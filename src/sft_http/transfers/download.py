"""
Bytes from the vault to clients, without a thread or a connection held for a slow one.

A thread decrypts a piece and sends it by itself, then the next, as long as the client takes them
at once; while it sends one, another thread reads and decrypts the next, if one is idle. When the
client does not, the loop waits until it does, and no thread waits. What has been read and waits,
for a client or for a thread, is kept only as far as its memory goes (`ReadAhead`): whoever has
waited longest loses it, and it is read again when its turn comes. So no more is held than that,
what the threads work on, and the little that an answer begins with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import attrs

from sft_core.application import Application
from sft_core.errors import Damaged, SftError
from sft_core.values import ByteRange
from sft_core.vault.model import File
from sft_core.vault.ports import Buffer
from sft_http.asgi.socket_handle import AlreadySent, SocketHandle
from sft_http.concurrency.memory_budgets import ReadAhead
from sft_http.concurrency.thread_pools import Lanes

_MAX_THREAD_BYTES: Final = 16 << 20
"""How much a thread sends of one download before others have their turn."""
_FIRST_BYTES: Final = 64 << 10
"""How much of a download the loop is given at once, as with the head of the answer: it keeps it until it is sent."""
_PIECE_BYTES: Final = 2 << 20
"""How much is read at once, about."""
_SLOW_READ_BYTES: Final = 512 << 10
"""How much is read at first for who was short of memory: the client may take no more."""


def open_stream(
    application: Application,
    lanes: Lanes,
    file: File,
    span: ByteRange,
    *,
    handle: SocketHandle | None = None,
) -> DownloadStream:
    """
    A range of a file, to be primed and then sent.
    """
    return DownloadStream(lanes, partial(application.read_file, file), span, handle)


@attrs.define(eq=False)
class DownloadStream:
    """
    A range of a file on its way out, in decrypted pieces; `release` has to be called in any case.

    It yields exactly the bytes it promised or raises; it never just ends, because a clean end
    would let the next response's bytes land in somebody's file. On a connection whose socket can
    be had, threads send most of them by themselves, and what is yielded says so (`AlreadySent`).
    """

    _lanes: Lanes
    _read: Callable[[ByteRange], Iterator[Buffer]]
    _span: ByteRange
    _handle: SocketHandle | None = None
    _position: int = attrs.field(init=False)
    """The first byte that has not been given away."""
    _first_bytes: bytes = attrs.field(default=b"", init=False)
    """What the answer begins with: it is kept, so that who was promised a download gets one."""
    _piece: memoryview = attrs.field(default=memoryview(b""), init=False)
    """What has been read from the place on."""
    _piece_memory: int = attrs.field(default=0, init=False)
    """How much memory the piece takes, what has been given away of it included."""
    _next_piece: Buffer = attrs.field(default=b"", init=False)
    """What follows the piece, if it has been read already."""
    _pieces: Iterator[Buffer] | None = attrs.field(default=None, init=False)
    _pieces_end: int = attrs.field(default=0, init=False)
    """Where the pieces end."""
    _awaits_client: bool = attrs.field(default=False, init=False)
    _lacked_memory: bool = attrs.field(default=False, init=False)
    """Whether there was no memory for it."""

    @_position.default
    def _initial_position(self) -> int:
        return self._span.start

    @property
    def _read_ahead(self) -> ReadAhead:
        return self._lanes.limits.read_ahead

    async def prime(self) -> None:
        """
        Wait until the first bytes are read and authenticated; their error, if they have one, comes out here.

        So a file that cannot be read is an error of its own, not a download that breaks off. It is
        refused if no thread is free in time; what comes after it is not.
        """
        if len(self._span):
            self._first_bytes = await self._lanes.bytes(self._next_slice)

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
            sent = await self._send_in_thread(handle)
            if handle.is_broken:
                await handle.abort()
            if sent:
                return AlreadySent(sent)

    def release(self) -> None:
        """
        Let go of what has been read, however the delivery ended.
        """
        self._read_ahead.take_back(self)
        self.drop()
        self._first_bytes = b""

    def drop(self) -> None:
        """
        Forget what has been read; it is read again when it is needed.
        """
        self._piece, self._piece_memory, self._next_piece = memoryview(b""), 0, b""
        self._pieces, self._lacked_memory = None, True

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """
        Have what was read to oneself, and leave what remains where it is counted: there it waits, for whatever.
        """
        self._read_ahead.take_back(self)
        try:
            yield
        finally:
            memory = self._piece_memory + len(self._next_piece)
            if memory:
                self._read_ahead.keep(self, memory)

    async def _read_for_loop(self) -> bytes:
        if self._piece:
            self._read_ahead.take_back(self)
        # Looked at again: until it was taken back, somebody else could make it drop that.
        return self._next_slice() if self._piece else await self._lanes.bytes.insist(self._next_slice)

    def _next_slice(self) -> bytes:
        """
        The next bytes for the loop; on a thread if they have to be read.
        """
        with self._exclusive():
            if not self._piece:
                self._fill()
            data = bytes(self._piece[:_FIRST_BYTES])
            self._advance(len(data))
        return data

    async def _send_in_thread(self, handle: SocketHandle) -> int:
        if self._awaits_client:
            await handle.wait_until_writable()
        return await self._lanes.bytes.insist(self._send, handle)

    def _send(self, handle: SocketHandle) -> int:
        """
        Decrypt and send pieces until the client takes no more, or it is another transfer's turn.
        """
        sent = 0
        self._awaits_client = False
        with self._exclusive():
            while self._position < self._span.stop and sent < _MAX_THREAD_BYTES:
                if not self._piece:
                    # What is read for a slow client waits with it, and may be dropped: not before there is room for it.
                    if not handle.is_fast and not handle.is_writable():
                        self._awaits_client = True
                        break
                    self._fill()
                with self._prefetching(handle):
                    count = handle.send(self._piece)
                    sent += count
                    self._advance(count)
                if self._piece:
                    self._awaits_client = True
                    break
        return sent

    @contextmanager
    def _prefetching(self, handle: SocketHandle) -> Iterator[None]:
        """
        Have another thread read the next piece while the block sends this one, if there is one to spare.

        Not for a slow client, for which it would wait, and not without room for it: it may have to.
        What fails is tried again when it is needed, which may be better then, or end with its error.
        """
        prefetch = None
        has_more = self._pieces is not None and self._position + len(self._piece) < self._pieces_end
        if (
            has_more
            and not self._next_piece
            and handle.is_fast
            and self._read_ahead.has_room(self._piece_memory + _PIECE_BYTES)
        ):
            prefetch = self._lanes.bytes.help(self._read_piece)
        try:
            yield
        finally:
            # Whatever happens: nobody else may read on before it has ended.
            if prefetch is not None and not prefetch.cancel():
                try:
                    self._next_piece = prefetch.result()
                except SftError:
                    self._pieces = None

    def _read_piece(self) -> Buffer:
        """
        The next of the pieces; empty behind the last one.
        """
        assert self._pieces is not None  # noqa: S101 (whoever asks has begun to read)
        return next(self._pieces, b"")

    def _advance(self, count: int) -> None:
        self._position += count
        if count < len(self._piece):
            self._piece = self._piece[count:]
        else:
            self._piece, self._piece_memory = memoryview(b""), 0

    def _fill(self) -> None:
        """
        Read the next piece.
        """
        if self._pieces is None or self._position == self._pieces_end:
            self._pieces_end = min(self._position + self._read_size(), self._span.stop)
            self._pieces = self._read(ByteRange(self._position, self._pieces_end))
        piece, self._next_piece = self._next_piece or self._read_piece(), b""
        if not 0 < len(piece) <= self._pieces_end - self._position:
            raise Damaged("the content ended before the promised length")
        self._piece, self._piece_memory = memoryview(piece), len(piece)

    def _read_size(self) -> int:
        """
        How much is to be read in one go, from the place on: all of it, unless memory is short.
        """
        left = self._span.stop - self._position
        if self._position == self._span.start and not self._read_ahead.has_room(min(left, _PIECE_BYTES)):
            self._lacked_memory = True
            return _FIRST_BYTES
        if self._lacked_memory:
            # Who was short of memory once, and is slow, is read for as little each time.
            self._lacked_memory = self._handle is not None and not self._handle.is_fast
            return _SLOW_READ_BYTES
        return left
