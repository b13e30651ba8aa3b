"""
Bytes from clients into the vault, without a thread held for a slow one.

What arrives is gathered into parts, which threads encrypt and store while more of it arrives.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable
from functools import partial
from typing import Final

import attrs

from sft_core.application import Application
from sft_core.errors import SftError
from sft_core.values import FileName, MediaType, UserId
from sft_core.vault.model import Part
from sft_core.vault.use_cases import Place, StorePart, Upload
from sft_http.concurrency.thread_pools import Lanes
from sft_http.transfers.idempotency import Content
from sft_http.transfers.part_pipeline import Gathering, PartAfterPart, Parts, PartsAbreast, run_on

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
            tells_end=True,
        )

    try:
        await lanes.control(begin)
        assert upload is not None  # noqa: S101 (begin() returned, so it has been assigned)
        await Gathering(
            _parts_of(application, lanes, upload, content, is_small=_is_small(part_size, announced_size)),
            lanes.limits.memory,
            admit=application.begin_upload.policy.admit_size,
            part_size=_buffer_size(part_size, announced_size),
        ).take(_to_its_end(stream, upload))
    except BaseException:
        if upload is not None:
            await abort(application, lanes, upload)
        raise
    return upload


async def _to_its_end(stream: AsyncIterable[bytes], upload: Upload) -> AsyncIterator[bytes]:
    """
    The same stream; the upload is told its size when all of it has come, before its last part is stored.
    """
    size = 0
    async for piece in stream:
        size += len(piece)
        yield piece
    upload.expected = size


@attrs.frozen
class UploadSteps:
    """
    Implements `sft_http.transfers.part_pipeline.Steps` for a large upload.
    """

    _lanes: Lanes
    _store_part: StorePart
    _upload: Upload

    async def place(self, size: int, *, after: Place | None, refusable: bool) -> Place:
        place = partial(self._store_part.place, self._upload, size, after=after)
        return await run_on(self._lanes.control, place, refusable=refusable)

    def put(self, place: Place, plaintext: memoryview, *, taken: Callable[[], object]) -> Part:
        return self._store_part.put(self._upload, place, plaintext, taken=taken)

    def settle(self, part: Part | None, *, is_followed: bool) -> None:
        del is_followed
        if part is not None:
            self._store_part.settle(self._upload, part)


def _parts_of(
    application: Application, lanes: Lanes, upload: Upload, content: Content | None, *, is_small: bool
) -> Parts:
    store = partial(application.store_part, upload)
    if content is not None:
        # What is compared is the content from its beginning to its end: part after part.
        return PartAfterPart(lanes, partial(_store_and_add, store, content))
    if is_small:
        return PartAfterPart(lanes, store)
    return PartsAbreast(lanes, UploadSteps(lanes, application.store_part, upload))


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
    parts = PartAfterPart(lanes, content.add)
    await Gathering(parts, lanes.limits.memory, admit=policy.admit_size, part_size=size).take(stream)


async def abort(application: Application, lanes: Lanes, upload: Upload) -> None:
    """
    Give an upload up and remove what it stored; if that fails now, it is tried again until it is done.

    Until then it holds its owner's quota, so that is not left to the sweep, which comes later
    (`NON_RESUMABLE_IDLE_MINUTES`).
    """
    try:
        await lanes.bytes.insist(application.abort_upload, upload)
    except SftError as error:
        log.warning("upload %s could not be removed now: %s", upload.file.id, error.code)
        lanes.retries.owe(partial(application.abort_upload, upload))
