"""
Bytes between clients and the vault, without a thread or a connection held for a slow one.

Up: what arrives is gathered into one of two buffers of a part's size; when it is full a thread
encrypts and stores it while the loop fills the other. If both are full the loop stops reading,
and TCP makes the client wait. Down: a thread decrypts a piece and sends it by itself, then the
next, as long as the client takes them at once; when it does not, the loop waits with the rest of
one piece, and no thread does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Callable, Iterator
from functools import partial
from typing import Final

import attrs

from sft_core.application import Application
from sft_core.errors import Damaged, SftError
from sft_core.values import ByteRange, FileName, MediaType, UserId
from sft_core.vault.model import File
from sft_core.vault.ports import Buffer
from sft_core.vault.use_cases import Upload
from sft_http.lanes import Lanes
from sft_http.wire import Sent, Wire

_TURN_BYTES: Final = 16 << 20
"""How much a thread sends of one download before others have their turn."""

log: Final = logging.getLogger("sft.transfers")


async def receive(
    application: Application,
    lanes: Lanes,
    *,
    owner: UserId,
    name: FileName,
    media_type: MediaType,
    stream: AsyncIterable[bytes],
    announced_size: int | None,
    overhead: int,
    part_size: int,
) -> Upload:
    """
    Take a file's bytes from a stream into encrypted parts; the caller seals or aborts the upload.

    The announced size may exceed the file by as many as `overhead` bytes.
    On any error, a cancelled request included, the upload is aborted and nothing is left of it.
    """
    upload: Upload | None = None
    if announced_size is not None:
        # A buffer for megabytes costs more than a small file does.
        part_size = max(1, min(part_size, announced_size))

    def begin() -> None:
        # Assigned on the lane's thread: a request cancelled meanwhile still knows what to abort.
        nonlocal upload
        upload = application.begin_upload(
            owner=owner,
            name=name,
            media_type=media_type,
            announced_size=announced_size,
            overhead=overhead,
        )

    try:
        await lanes.control(begin)
        assert upload is not None  # noqa: S101 (begin() returned, so it has been assigned)
        await Gathering(
            lanes,
            store=partial(application.store_part, upload),
            admit=application.begin_upload.policy.admit_size,
            part_size=part_size,
        ).take(stream)
    except BaseException:
        if upload is not None:
            await abort(application, lanes, upload)
        raise
    return upload


async def abort(application: Application, lanes: Lanes, upload: Upload) -> None:
    """
    Give an upload up and remove what it stored; if that fails now, it is tried again until it is done.

    Until then it holds its owner's quota, so that is not left to the sweep, which waits for a day.
    """
    try:
        await lanes.bytes.insist(application.abort_upload, upload)
    except SftError as error:
        log.warning("upload %s could not be removed now: %s", upload.file.id, error.code)
        lanes.retries.owe(partial(application.abort_upload, upload))


@attrs.define
class Gathering:
    """
    Regroups what arrives into parts and keeps one part being stored while the next one fills.

    `admit` raises if the upload may not have so many bytes. With `keeps_what_came` the bytes that
    have come before a stream breaks off are stored as a last, shorter part before its error comes
    out; without it they are dropped.
    """

    _lanes: Lanes
    _store: Callable[[memoryview], None] = attrs.field(kw_only=True)
    _admit: Callable[[int], None] = attrs.field(kw_only=True)
    _part_size: int = attrs.field(kw_only=True)
    _keeps_what_came: bool = attrs.field(default=False, kw_only=True)
    _storing: asyncio.Task[None] | None = attrs.field(default=None, init=False)
    _began: bool = attrs.field(default=False, init=False)

    async def take(self, stream: AsyncIterable[bytes]) -> None:
        """
        Store everything the stream holds; when it returns, every part is durable.
        """
        try:
            await self._fill(stream)
            await self._stored()
        finally:
            # A part under way must have ended before anybody takes the upload apart.
            if self._storing is not None:
                await asyncio.gather(self._storing, return_exceptions=True)

    async def _fill(self, stream: AsyncIterable[bytes]) -> None:
        buffer, spare = memoryview(bytearray(self._part_size)), None
        filled = total = 0
        pieces = aiter(stream)
        while True:
            try:
                piece = await anext(pieces, None)
                if piece is None:
                    break
                total += len(piece)
                self._admit(total)
            except BaseException:
                if filled and self._keeps_what_came:
                    await self._hand_over(buffer[:filled])
                    await self._stored()
                raise
            rest = memoryview(piece)
            while rest:
                taken = min(len(rest), self._part_size - filled)
                buffer[filled : filled + taken] = rest[:taken]
                filled += taken
                rest = rest[taken:]
                if filled == self._part_size:
                    await self._hand_over(buffer)
                    buffer, spare = spare or memoryview(bytearray(self._part_size)), buffer
                    filled = 0
        if filled:
            await self._hand_over(buffer[:filled])

    async def _hand_over(self, plaintext: memoryview) -> None:
        """
        Begin to store a part once the one before is stored; its buffer is busy until then.

        The first one is refused if no thread is free in time. Those after it wait as long as it
        takes: the client waits with them, and what it has sent is not thrown away for being busy.
        """
        await self._stored()
        run = self._lanes.bytes.insist if self._began else self._lanes.bytes
        self._began = True
        self._storing = asyncio.create_task(run(self._store, plaintext))

    async def _stored(self) -> None:
        if self._storing is not None:
            await self._storing
            self._storing = None


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
    delivery = Delivery(lanes, application.read_file(file, span), len(span), wire)
    await delivery.prime()
    return delivery


@attrs.define
class Delivery:
    """
    A range of a file on its way out, in decrypted pieces.

    It yields exactly the bytes it promised or raises; it never just ends, because a clean end
    would let the next response's bytes land in somebody's file. On a connection whose socket can
    be had, threads send most of them by themselves, and what is yielded says so (`Sent`).
    """

    _lanes: Lanes
    _pieces: Iterator[Buffer]
    _remaining: int
    _wire: Wire | None = None
    _first: bytes = attrs.field(default=b"", init=False)

    async def prime(self) -> None:
        """
        Wait for the first piece; its error, if it has one, comes out here.

        It is refused if no thread is free in time; the pieces after it are not.
        """
        if self._remaining:
            self._first = await self._lanes.bytes(self._read)

    def __aiter__(self) -> Delivery:
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            # By the loop, like the head that goes with it.
            piece, self._first = self._first, b""
            return piece
        if not self._remaining:
            raise StopAsyncIteration
        if self._wire is not None and self._wire.is_idle:
            return await self._lanes.bytes.insist(self._send, self._wire)
        return await self._lanes.bytes.insist(self._read)

    def _send(self, wire: Wire) -> Sent:
        """
        Decrypt and send pieces until the client takes no more, or it is another transfer's turn.
        """
        sent = 0
        while self._remaining and sent < _TURN_BYTES:
            piece = memoryview(self._read())
            gone = wire.send(piece)
            sent += len(piece)
            if gone < len(piece):
                return Sent.of(sent, piece[gone:])
        return Sent.of(sent)

    def _read(self) -> bytes:
        piece = next(self._pieces, b"")
        if not 0 < len(piece) <= self._remaining:
            raise Damaged("the content ended before the promised length")
        self._remaining -= len(piece)
        return bytes(piece)
