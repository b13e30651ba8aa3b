"""
Bytes between clients and the vault, without a thread or a connection held for a slow one.

Up: what arrives is gathered into parts, which threads encrypt and store (`Gathering`). Down: a
thread decrypts a piece and sends it by itself, then the next, as long as the client takes them at
once; when it does not, the loop waits with the rest of one piece, and no thread does.
"""

from __future__ import annotations

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
from sft_http.gathering import Gathering, PartAfterPart, Parts, PartsAbreast
from sft_http.lanes import Lanes
from sft_http.repeats import Content
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
    content: Content | None = None,
) -> Upload:
    """
    Take a file's bytes from a stream into encrypted parts; the caller seals or aborts the upload.

    The announced size may exceed the file by as many as `overhead` bytes. `content`, if it is
    given, takes in what comes.
    On any error, a cancelled request included, the upload is aborted and nothing is left of it.
    """
    upload: Upload | None = None

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
            _parts_of(application, lanes, upload, content, is_small=_is_small(part_size, announced_size)),
            admit=application.begin_upload.policy.admit_size,
            part_size=_buffer_size(part_size, announced_size),
        ).take(stream)
    except BaseException:
        if upload is not None:
            await abort(application, lanes, upload)
        raise
    return upload


def _parts_of(
    application: Application, lanes: Lanes, upload: Upload, content: Content | None, *, is_small: bool
) -> Parts:
    store = partial(application.store_part, upload)
    if content is not None:
        # What is compared is the content from its beginning to its end: part after part.
        return PartAfterPart(lanes, partial(_store_and_add, store, content))
    return PartAfterPart(lanes, store) if is_small else PartsAbreast(lanes, application, upload)


def _is_small(part_size: int, announced_size: int | None) -> bool:
    return announced_size is not None and announced_size <= part_size


def _store_and_add(store: Callable[[memoryview], None], content: Content, plaintext: memoryview) -> None:
    store(plaintext)
    content.add(plaintext)


def _buffer_size(part_size: int, announced_size: int | None) -> int:
    """
    A part's size, or less: a buffer for megabytes costs more than a small file does.
    """
    return part_size if announced_size is None else max(1, min(part_size, announced_size))


async def compare(
    application: Application,
    lanes: Lanes,
    *,
    name: FileName,
    stream: AsyncIterable[bytes],
    announced_size: int | None,
    part_size: int,
    content: Content,
) -> None:
    """
    Take a file's bytes from a stream into `content` alone, within the same limits; nothing is stored.
    """
    policy = application.begin_upload.policy
    policy.admit_name(name)
    size = _buffer_size(part_size, announced_size)
    await Gathering(PartAfterPart(lanes, content.add), admit=policy.admit_size, part_size=size).take(stream)


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
