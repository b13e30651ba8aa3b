"""
What a worker gives to transfers at most: places, memory, what is read ahead.
"""

from __future__ import annotations

import asyncio
import errno
import mmap
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import cast
from uuid import UUID

import attrs
import pytest

from sft_adapters.settings.catalogue import MIN_UPLOAD_MEMORY_KIB
from sft_core.errors import Busy
from sft_core.values import ByteRange, UserId
from sft_http.asgi.socket_handle import SocketHandle
from sft_http.concurrency.memory_budgets import (
    MIN_BUFFER_BYTES,
    MIN_PIECE_BYTES,
    MemoryBudget,
    ReadAhead,
    TransferLimits,
)
from sft_http.concurrency.upload_admission import UploadAdmission
from sft_http.errors import TooManyUploads
from sft_http.transfers.download import DownloadStream
from sft_http.transfers.part_buffer import PartBuffer
from sft_http.transfers.part_pipeline import PartPipeline
from sft_http.transfers.part_sink import SequentialSink
from support.app.edge import END as FORM_END
from support.app.edge import Edge, file_part

MIB = 1 << 20
PART = 4 * MIB
MAYA, NOOR = (UserId(UUID(int=number)) for number in (1, 2))


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        await asyncio.wait_for(story(), 20)

    asyncio.run(told())


def admission(
    *, limit: int = 8, user_limit: int = 8, queue_limit: int = 8, wait_seconds: float = 10
) -> UploadAdmission:
    return UploadAdmission(limit=limit, user_limit=user_limit, queue_limit=queue_limit, wait_seconds=wait_seconds)


def test_one_more_of_a_users_uploads_is_refused_at_once() -> None:
    """The unit is a request whose body is received; another user is not touched, and an ended one counts no more."""

    async def story() -> None:
        some = admission(user_limit=2)
        async with some.acquire(MAYA), some.acquire(MAYA):
            with pytest.raises(TooManyUploads):
                async with some.acquire(MAYA):
                    raise AssertionError
            async with some.acquire(NOOR):
                pass
        async with some.acquire(MAYA):
            pass

    run(story)


def test_one_more_upload_waits_in_turn() -> None:
    """It gets the place that becomes free; if none does in time, or too many wait, it is told to come again."""

    async def story() -> None:
        some, order = admission(limit=1, queue_limit=2, wait_seconds=10), list[str]()

        async def upload(name: str) -> None:
            async with some.acquire(MAYA):
                order.append(name)

        async with some.acquire(NOOR):
            waiting = [asyncio.create_task(upload(name)) for name in ("first", "second")]
            await asyncio.sleep(0)
            with pytest.raises(Busy):
                await upload("third")
            assert order == []
        await asyncio.gather(*waiting)
        assert order == ["first", "second"]
        hasty = admission(limit=1, wait_seconds=0.01)
        async with hasty.acquire(NOOR):
            with pytest.raises(Busy):
                async with hasty.acquire(MAYA):
                    raise AssertionError
        async with hasty.acquire(MAYA):
            pass

    run(story)


def test_a_buffer_holds_what_has_come() -> None:
    """A byte of a part of 4 MiB takes 64 KiB; the whole part takes its size; all of it is given back."""
    memory = MemoryBudget(8 * MIB)
    buffer = PartBuffer.required(memory, 4 * MIB)
    buffer.add(memoryview(b"x"))
    assert memory.in_use == MIN_BUFFER_BYTES
    content = os.urandom(4 * MIB - 1)
    assert buffer.add(memoryview(content)) == len(content)
    assert (bytes(buffer.data), buffer.is_full, memory.in_use) == (b"x" + content, True, 4 * MIB)
    buffer.release()
    assert memory.in_use == 0


def test_a_small_part_takes_no_more_than_its_size() -> None:
    """What was announced as three bytes has a buffer of three."""
    memory = MemoryBudget(MIB)
    buffer = PartBuffer.required(memory, 3)
    assert (buffer.add(memoryview(b"abcd")), buffer.is_full, memory.in_use) == (3, True, 3)


def test_without_memory_of_the_system_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload without a buffer is refused, one that has a buffer goes on with it."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    memory = MemoryBudget(MIB)
    monkeypatch.setattr(mmap, "mmap", refused)
    with pytest.raises(Busy):
        PartBuffer.required(memory, PART)
    assert PartBuffer.optional(memory, PART) is None
    assert memory.in_use == 0


def test_a_kernel_without_huge_pages_needs_no_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses the advice, and that is all."""

    class Unadvised(mmap.mmap):
        def madvise(self, *_: int) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(mmap, "mmap", Unadvised)
    buffer = PartBuffer.required(MemoryBudget(MIB), PART)
    assert (buffer.add(memoryview(b"abc")), bytes(buffer.data)) == (3, b"abc")


def gathered(service: Edge, memory: MemoryBudget, content: bytes, *, part_size: int) -> tuple[list[bytes], int]:
    """
    The parts that content becomes with so much memory, and how much of it was taken at most.
    """
    parts, most = list[bytes](), 0
    store = SequentialSink(service.pools, lambda part: parts.append(bytes(part)))

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal most
        for start in range(0, len(content), 50_000):
            yield content[start : start + 50_000]
            most = max(most, memory.in_use)

    async def story() -> None:
        await PartPipeline(store, memory, check_size=lambda _: None, part_size=part_size).run(pieces())

    run(story)
    assert memory.in_use == 0
    return parts, most


@pytest.mark.parametrize("memory", [0, MIN_BUFFER_BYTES, 3 * MIN_BUFFER_BYTES, MIB, 8 * MIB])
def test_without_memory_parts_are_smaller_and_nothing_is_refused(service: Edge, memory: int) -> None:
    """However little there is, every byte is stored in its order, and no more is taken than there is and 64 KiB."""
    content = os.urandom(3 * MIB + 17)
    parts, most = gathered(service, MemoryBudget(memory), content, part_size=MIB)
    assert b"".join(parts) == content
    assert most <= memory + MIN_BUFFER_BYTES
    if memory == 8 * MIB:
        assert [len(part) for part in parts] == [MIB, MIB, MIB, 17]


@attrs.define(eq=False)
class _Reader:
    has_dropped: bool = False

    def discard(self) -> None:
        self.has_dropped = True


def test_who_waits_longest_loses_what_was_read_ahead() -> None:
    """What goes beyond the limit costs the first theirs, and itself if it is too much; who goes on loses nothing."""
    ahead, readers = ReadAhead(10), [_Reader() for _ in range(5)]
    for reader, count in zip(readers[:3], (5, 3, 2), strict=True):
        ahead.retain(reader, count)
    ahead.reclaim(readers[0])
    assert (ahead.in_use, ahead.fits(5), ahead.fits(6)) == (5, True, False)
    ahead.retain(readers[3], 6)
    assert [reader.has_dropped for reader in readers] == [False, True, False, False, False]
    ahead.retain(readers[4], 11)
    assert [reader.has_dropped for reader in readers] == [False, True, True, True, True]
    ahead.reclaim(readers[4])
    assert ahead.in_use == 0


def test_what_was_dropped_is_read_again(service: Edge) -> None:
    """A delivery that keeps nothing between two pieces yields the same bytes."""
    content = os.urandom(3 * MIB + 5)
    pools = service.pools
    pools.limits = attrs.evolve(pools.limits, read_ahead=ReadAhead(0))

    def read(span: ByteRange) -> Iterator[bytes]:
        for start in range(span.start, span.stop, MIB):
            yield content[start : min(start + MIB, span.stop)]

    async def story() -> None:
        stream = DownloadStream(pools, read, ByteRange(3, len(content)))
        await stream.prime()
        assert b"".join([piece async for piece in stream]) == content[3:]
        stream.release()

    run(story)


@attrs.define
class SlowHandle:
    """
    A client that has to be waited for each time, and then takes half a mebibyte.
    """

    is_idle: bool = True
    is_fast: bool = False
    is_broken: bool = False
    room: int = 0
    taken: bytearray = attrs.field(factory=bytearray)

    def is_writable(self) -> bool:
        return self.room > 0

    async def wait_until_writable(self) -> None:
        self.room = MIB // 2

    def send(self, piece: memoryview) -> int:
        some = piece[: self.room]
        self.taken += some
        self.room -= len(some)
        return len(some)


def test_little_is_read_in_vain_for_slow_clients_without_memory(service: Edge) -> None:
    """What is dropped while they are waited for is not decrypted again and again: no more is read than they take."""
    content = os.urandom(16 * MIB)
    pools, handle, read_bytes = service.pools, SlowHandle(), 0
    pools.limits = attrs.evolve(pools.limits, read_ahead=ReadAhead(0))

    def read(span: ByteRange) -> Iterator[bytes]:
        nonlocal read_bytes
        for start in range(span.start, span.stop, 2 * MIB):
            piece = content[start : min(start + 2 * MIB, span.stop)]
            read_bytes += len(piece)
            yield piece

    async def story() -> None:
        stream = DownloadStream(pools, read, ByteRange(0, len(content)), cast("SocketHandle", handle))
        await stream.prime()
        first = await anext(stream)
        assert [piece async for piece in stream if piece] == []
        assert first + bytes(handle.taken) == content
        stream.release()

    run(story)
    assert read_bytes <= len(content) + 3 * MIB


def test_who_has_nothing_read_ahead_takes_nobodys_place(service: Edge) -> None:
    """A slow client that is read for in sips, each of which it takes whole, makes no other one lose anything."""
    content, pools, other = os.urandom(4 * MIB), service.pools, _Reader()
    pools.limits = attrs.evolve(pools.limits, read_ahead=ReadAhead(2 * MIB))
    ahead = pools.limits.read_ahead

    def read(span: ByteRange) -> Iterator[bytes]:
        yield content[span.start : span.stop]

    async def story() -> None:
        handle = SlowHandle()
        stream = DownloadStream(pools, read, ByteRange(0, len(content)), cast("SocketHandle", handle))
        await stream.prime()
        first = await anext(stream)
        ahead.retain(other, 2 * MIB)
        assert not other.has_dropped
        assert [piece async for piece in stream if piece] == []
        assert first + bytes(handle.taken) == content
        assert not other.has_dropped
        stream.release()

    run(story)


def test_the_settings_say_the_limits(make_edge: Callable[..., Edge]) -> None:
    """Memory counts in MiB, without what every upload has in any case; read-ahead as it is."""
    small = make_edge(TRANSFER_MEMORY_MIB="3", MAX_UPLOADS="16", MAX_UPLOADS_PER_USER="5", READ_AHEAD_MIB="13")
    limits = TransferLimits.from_settings(small.settings)
    assert (limits.uploads.limit, limits.uploads.user_limit) == (16, 5)
    assert (limits.memory.limit, limits.read_ahead.limit) == (1 * MIB, 13 * MIB)
    assert MIN_BUFFER_BYTES + MIN_PIECE_BYTES == MIN_UPLOAD_MEMORY_KIB << 10


def test_half_of_the_threads_is_for_others_than_concatenations(make_edge: Callable[..., Edge]) -> None:
    """They wait for no client, so nothing else would make them pause; one may always be at it."""
    for threads, turns in (("1", 1), ("2", 1), ("9", 4)):
        assert TransferLimits.from_settings(make_edge(TRANSFER_THREADS=threads).settings).concatenations.limit == turns


def test_an_upload_beyond_the_users_is_refused_before_its_body(make_edge: Callable[..., Edge]) -> None:
    """By form, by PUT and by tus, out of pieces too: 429 with Retry-After; then the place is free again."""
    service = make_edge(MAX_UPLOADS_PER_USER="1")
    token = service.sign_up()
    form = file_part(b"x") + FORM_END
    user = UserId(UUID(service.call("GET", "/auth/me", token=token).json["id"]))
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "1", "Upload-Metadata": "filename eA=="}
    made = service.call("POST", "/tus", token=token, headers=tus).headers["location"]
    patch = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    final = {"Tus-Resumable": "1.0.0", "Upload-Metadata": "filename eA==", "Upload-Concat": f"final;{made}"}
    path = made.removeprefix(service.settings.app.api_prefix)
    admission = service.pools.limits.uploads
    admission._per_user[user] = 1
    responses = [
        service.upload(token, form),
        service.call("PUT", "/files/x", token=token, raw=b"x"),
        service.call("PATCH", path, token=token, headers=patch, raw=b"x"),
        service.call("POST", "/tus", token=token, headers=tus | {"Content-Type": patch["Content-Type"]}, raw=b"x"),
        service.call("POST", "/tus", token=token, headers=final),
    ]
    for response in responses:
        assert (response.status_code, response.json["code"]) == (429, "too-many-uploads")
        assert int(response.headers["retry-after"]) > 0
    admission._per_user.clear()
    assert service.upload(token, form).status_code == 201
    assert service.call("PATCH", path, token=token, headers=patch, raw=b"x").status_code == 204
