"""
Bytes from the vault to clients, without a thread or a connection held for a slow one.

A thread decrypts a piece and sends it by itself, then the next, as long as the client takes them
at once. When it does not, the loop waits until it does, and no thread waits. What has been read
ahead for clients that are waited for is kept only as far as its memory goes (`ReadAhead`): whoever
has been waited for longest loses it, and it is read again when the client goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import attrs

from sft_core.application import Application
from sft_core.errors import Damaged
from sft_core.values import ByteRange
from sft_core.vault.model import File
from sft_core.vault.ports import Buffer
from sft_http.lanes import Lanes
from sft_http.limits import ReadAhead
from sft_http.wire import Sent, Wire

_TURN_BYTES: Final = 16 << 20
"""How much a thread sends of one download before others have their turn."""
_FIRST_BYTES: Final = 64 << 10
"""How much of a download the loop sends by itself, with the head of the answer."""
_SIP_BYTES: Final = 512 << 10
"""How much is read at first for a client that was waited for long: it may take no more."""


async def deliver(
    application: Application,
    lanes: Lanes,
    file: File,
    span: ByteRange,
    *,
    wire: Wire | None = None,
) -> Delivery:
    """
    Begin to send a range of a file: its first piece is read and authenticated when this returns.

    So a file that cannot be read is an error of its own, not a download that breaks off.
    """
    delivery = Delivery(lanes, partial(application.read_file, file), span, wire)
    await delivery.prime()
    return delivery


@attrs.define(eq=False)
class Delivery:
    """
    A range of a file on its way out, in decrypted pieces.

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
    _piece: memoryview = attrs.field(default=memoryview(b""), init=False)
    """What has been read from there on."""
    _pieces: Iterator[Buffer] | None = attrs.field(default=None, init=False)
    _until: int = attrs.field(default=0, init=False)
    """Where the pieces end."""
    _has_begun: bool = attrs.field(default=False, init=False)
    _is_waited_for: bool = attrs.field(default=False, init=False)
    _was_dropped: bool = attrs.field(default=False, init=False)

    @_place.default
    def _at_first(self) -> int:
        return self._span.start

    @property
    def _ahead(self) -> ReadAhead:
        return self._lanes.limits.read_ahead

    async def prime(self) -> None:
        """
        Wait for the first piece; its error, if it has one, comes out here.

        It is refused if no thread is free in time; the pieces after it are not.
        """
        if len(self._span):
            await self._lanes.bytes(self._fill)

    def __aiter__(self) -> Delivery:
        return self

    async def __anext__(self) -> bytes:
        if self._place == self._span.stop:
            raise StopAsyncIteration
        wire = self._wire
        if wire is None or not self._has_begun or not wire.is_idle:
            return await self._given_to_the_loop()
        while True:
            sent = await self._sent_by_a_thread(wire)
            if wire.is_broken:
                await wire.end()
            if sent:
                return Sent(sent)

    async def close(self) -> None:
        """
        Let go of what has been read ahead, however the delivery ended.
        """
        self._ahead.remove(self)
        self.drop()

    def drop(self) -> None:
        """
        Forget what has been read ahead; it is read again when it is needed.
        """
        self._piece, self._pieces, self._was_dropped = memoryview(b""), None, True

    async def _given_to_the_loop(self) -> bytes:
        self._ahead.remove(self)
        if not self._piece:
            await self._lanes.bytes.insist(self._fill)
        # Where threads send, the loop has only to send the head: what it is given it keeps until it is sent.
        length = len(self._piece) if self._wire is None else _FIRST_BYTES
        given = bytes(self._piece[:length])
        self._advance(len(given))
        self._has_begun = True
        self._ahead.keep(self)
        return given

    async def _sent_by_a_thread(self, wire: Wire) -> int:
        if self._is_waited_for:
            await wire.until_writable()
        self._ahead.remove(self)
        sent = await self._lanes.bytes.insist(self._send, wire)
        if self._place == self._until:
            self._pieces = None
        # Where nothing is left that could be dropped, it takes nobody's place.
        if self._pieces is not None:
            self._ahead.keep(self)
        return sent

    def _send(self, wire: Wire) -> int:
        """
        Decrypt and send pieces until the client takes no more, or it is another transfer's turn.
        """
        sent = 0
        self._is_waited_for = False
        while self._place < self._span.stop and sent < _TURN_BYTES:
            if not self._piece:
                # What is read for a slow client waits with it, and may be dropped: not before there is room for it.
                if not wire.is_brisk and not wire.takes_more():
                    self._is_waited_for = True
                    break
                self._fill()
            gone = wire.send(self._piece)
            sent += gone
            self._advance(gone)
            if self._piece:
                self._is_waited_for = True
                break
        return sent

    def _advance(self, count: int) -> None:
        self._place += count
        self._piece = self._piece[count:] if count < len(self._piece) else memoryview(b"")

    def _fill(self) -> None:
        """
        Read the next piece.
        """
        if self._pieces is None or self._place == self._until:
            stop = self._span.stop
            self._until = min(self._place + _SIP_BYTES, stop) if self._was_dropped else stop
            # Who was short of memory once, and is slow, is read for as little each time.
            self._was_dropped = self._was_dropped and self._wire is not None and not self._wire.is_brisk
            self._pieces = self._read(ByteRange(self._place, self._until))
        piece = next(self._pieces, b"")
        if not 0 < len(piece) <= self._until - self._place:
            raise Damaged("the content ended before the promised length")
        self._piece = memoryview(piece)
