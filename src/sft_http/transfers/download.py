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
from sft_http.asgi.socket_handle import Sent, Wire
from sft_http.concurrency.memory_budgets import ReadAhead
from sft_http.concurrency.thread_pools import Lanes

_TURN_BYTES: Final = 16 << 20
"""How much a thread sends of one download before others have their turn."""
_FIRST_BYTES: Final = 64 << 10
"""How much of a download the loop is given at once, as with the head of the answer: it keeps it until it is sent."""
_PIECE_BYTES: Final = 2 << 20
"""How much is read at once, about."""
_SIP_BYTES: Final = 512 << 10
"""How much is read at first for who was short of memory: the client may take no more."""


def delivery(
    application: Application,
    lanes: Lanes,
    file: File,
    span: ByteRange,
    *,
    wire: Wire | None = None,
) -> Delivery:
    """
    A range of a file, to be primed and then sent.
    """
    return Delivery(lanes, partial(application.read_file, file), span, wire)


@attrs.define(eq=False)
class Delivery:
    """
    A range of a file on its way out, in decrypted pieces; `let_go` has to be called in any case.

    It yields exactly the bytes it promised or raises; it never just ends, because a clean end
    would let the next response's bytes land in somebody's file. On a connection whose socket can
    be had, threads send most of them by themselves, and what is yielded says so (`Sent`).
    """

    _lanes: Lanes
    _read: Callable[[ByteRange], Iterator[Buffer]]
    _span: ByteRange
    _wire: Wire | None = None
    _place: int = attrs.field(init=False)
    """The first byte that has not been given away."""
    _first: bytes = attrs.field(default=b"", init=False)
    """What the answer begins with: it is kept, so that who was promised a download gets one."""
    _piece: memoryview = attrs.field(default=memoryview(b""), init=False)
    """What has been read from the place on."""
    _held: int = attrs.field(default=0, init=False)
    """How much memory the piece takes, what has been given away of it included."""
    _next: Buffer = attrs.field(default=b"", init=False)
    """What follows the piece, if it has been read already."""
    _pieces: Iterator[Buffer] | None = attrs.field(default=None, init=False)
    _until: int = attrs.field(default=0, init=False)
    """Where the pieces end."""
    _is_waited_for: bool = attrs.field(default=False, init=False)
    _was_short: bool = attrs.field(default=False, init=False)
    """Whether there was no memory for it."""

    @_place.default
    def _at_first(self) -> int:
        return self._span.start

    @property
    def _ahead(self) -> ReadAhead:
        return self._lanes.limits.read_ahead

    async def prime(self) -> None:
        """
        Wait until the first bytes are read and authenticated; their error, if they have one, comes out here.

        So a file that cannot be read is an error of its own, not a download that breaks off. It is
        refused if no thread is free in time; what comes after it is not.
        """
        if len(self._span):
            self._first = await self._lanes.bytes(self._cut)

    def __aiter__(self) -> Delivery:
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        if self._place == self._span.stop:
            raise StopAsyncIteration
        wire = self._wire
        if wire is None or not wire.is_idle:
            return await self._given_to_the_loop()
        while True:
            sent = await self._sent_by_a_thread(wire)
            if wire.is_broken:
                await wire.end()
            if sent:
                return Sent(sent)

    def let_go(self) -> None:
        """
        Let go of what has been read, however the delivery ended.
        """
        self._ahead.take_back(self)
        self.drop()
        self._first = b""

    def drop(self) -> None:
        """
        Forget what has been read; it is read again when it is needed.
        """
        self._piece, self._held, self._next = memoryview(b""), 0, b""
        self._pieces, self._was_short = None, True

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """
        Have what was read to oneself, and leave what remains where it is counted: there it waits, for whatever.
        """
        self._ahead.take_back(self)
        try:
            yield
        finally:
            held = self._held + len(self._next)
            if held:
                self._ahead.keep(self, held)

    async def _given_to_the_loop(self) -> bytes:
        if self._piece:
            self._ahead.take_back(self)
        # Looked at again: until it was taken back, somebody else could make it drop that.
        return self._cut() if self._piece else await self._lanes.bytes.insist(self._cut)

    def _cut(self) -> bytes:
        """
        The next bytes for the loop; on a thread if they have to be read.
        """
        with self._at_work():
            if not self._piece:
                self._fill()
            given = bytes(self._piece[:_FIRST_BYTES])
            self._advance(len(given))
        return given

    async def _sent_by_a_thread(self, wire: Wire) -> int:
        if self._is_waited_for:
            await wire.until_writable()
        return await self._lanes.bytes.insist(self._send, wire)

    def _send(self, wire: Wire) -> int:
        """
        Decrypt and send pieces until the client takes no more, or it is another transfer's turn.
        """
        sent = 0
        self._is_waited_for = False
        with self._at_work():
            while self._place < self._span.stop and sent < _TURN_BYTES:
                if not self._piece:
                    # What is read for a slow client waits with it, and may be dropped: not before there is room for it.
                    if not wire.is_brisk and not wire.takes_more():
                        self._is_waited_for = True
                        break
                    self._fill()
                with self._reading_on(wire):
                    gone = wire.send(self._piece)
                    sent += gone
                    self._advance(gone)
                if self._piece:
                    self._is_waited_for = True
                    break
        return sent

    @contextmanager
    def _reading_on(self, wire: Wire) -> Iterator[None]:
        """
        Have another thread read the next piece while the block sends this one, if there is one to spare.

        Not for a slow client, for which it would wait, and not without room for it: it may have to.
        What fails is tried again when it is needed, which may be better then, or end with its error.
        """
        coming = None
        goes_on = self._pieces is not None and self._place + len(self._piece) < self._until
        if goes_on and not self._next and wire.is_brisk and self._ahead.has_room(self._held + _PIECE_BYTES):
            coming = self._lanes.bytes.help(self._following)
        try:
            yield
        finally:
            # Whatever happens: nobody else may read on before it has ended.
            if coming is not None and not coming.cancel():
                try:
                    self._next = coming.result()
                except SftError:
                    self._pieces = None

    def _following(self) -> Buffer:
        """
        The next of the pieces; empty behind the last one.
        """
        assert self._pieces is not None  # noqa: S101 (whoever asks has begun to read)
        return next(self._pieces, b"")

    def _advance(self, count: int) -> None:
        self._place += count
        if count < len(self._piece):
            self._piece = self._piece[count:]
        else:
            self._piece, self._held = memoryview(b""), 0

    def _fill(self) -> None:
        """
        Read the next piece.
        """
        if self._pieces is None or self._place == self._until:
            self._until = min(self._place + self._portion(), self._span.stop)
            self._pieces = self._read(ByteRange(self._place, self._until))
        piece, self._next = self._next or self._following(), b""
        if not 0 < len(piece) <= self._until - self._place:
            raise Damaged("the content ended before the promised length")
        self._piece, self._held = memoryview(piece), len(piece)

    def _portion(self) -> int:
        """
        How much is to be read in one go, from the place on: all of it, unless memory is short.
        """
        left = self._span.stop - self._place
        if self._place == self._span.start and not self._ahead.has_room(min(left, _PIECE_BYTES)):
            self._was_short = True
            return _FIRST_BYTES
        if self._was_short:
            # Who was short of memory once, and is slow, is read for as little each time.
            self._was_short = self._wire is not None and not self._wire.is_brisk
            return _SIP_BYTES
        return left
