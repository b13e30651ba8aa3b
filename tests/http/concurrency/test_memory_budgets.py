"""
Limits of a worker on transfers: concurrent uploads, buffer memory and read-ahead.
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
from sft_http.transfers.part_pipeline import PartPipeline, SequentialSink
from support.app.edge import END as FORM_END
from support.app.edge import Edge, file_part

MIB = 1 << 20
PART = 4 * MIB
MAYA, NOOR = (UserId(UUID(int=number)) for number in (1, 2))


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def with_timeout() -> None:
        await asyncio.wait_for(story(), 20)

    asyncio.run(with_timeout())


def admission(
    *, limit: int = 8, user_limit: int = 8, queue_limit: int = 8, wait_seconds: float = 10
) -> UploadAdmission:
    return UploadAdmission(limit=limit, user_limit=user_limit, queue_limit=queue_limit, wait_seconds=wait_seconds)


def test_upload_beyond_the_user_limit_is_rejected_at_once() -> None:
    """The limit counts the requests of one user whose body is being received; other users are unaffected."""

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


def test_upload_beyond_the_limit_waits_in_order() -> None:
    """It starts when another one ends; if none ends in time or the queue is full, it is rejected as busy."""

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


def test_buffer_grows_with_the_received_bytes() -> None:
    """One byte of a 4 MiB part takes 64 KiB, a full part takes its size, and a release returns all of it."""
    memory = MemoryBudget(8 * MIB)
    buffer = PartBuffer.required(memory, 4 * MIB)
    buffer.add(memoryview(b"x"))
    assert memory.in_use == MIN_BUFFER_BYTES
    content = os.urandom(4 * MIB - 1)
    assert buffer.add(memoryview(content)) == len(content)
    assert (bytes(buffer.data), buffer.is_full, memory.in_use) == (b"x" + content, True, 4 * MIB)
    buffer.release()
    assert memory.in_use == 0


def test_small_part_takes_only_its_size() -> None:
    """The buffer for an announced size of three bytes takes three bytes."""
    memory = MemoryBudget(MIB)
    buffer = PartBuffer.required(memory, 3)
    assert (buffer.add(memoryview(b"abcd")), buffer.is_full, memory.in_use) == (3, True, 3)


def test_failed_allocation_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system has no memory, a required buffer raises Busy and an optional one is None."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    memory = MemoryBudget(MIB)
    monkeypatch.setattr(mmap, "mmap", fail)
    with pytest.raises(Busy):
        PartBuffer.required(memory, PART)
    assert PartBuffer.optional(memory, PART) is None
    assert memory.in_use == 0


def test_buffer_works_without_huge_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that rejects the `madvise` call does not prevent a buffer."""

    class Unadvised(mmap.mmap):
        def madvise(self, *_: int) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(mmap, "mmap", Unadvised)
    buffer = PartBuffer.required(MemoryBudget(MIB), PART)
    assert (buffer.add(memoryview(b"abc")), bytes(buffer.data)) == (3, b"abc")


def stored_parts(service: Edge, memory: MemoryBudget, content: bytes, *, part_size: int) -> tuple[list[bytes], int]:
    """
    The parts that content is stored as within a memory budget, and the peak of memory in use.
    """
    parts, peak = list[bytes](), 0
    store = SequentialSink(service.pools, lambda part: parts.append(bytes(part)))

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal peak
        for start in range(0, len(content), 50_000):
            yield content[start : start + 50_000]
            peak = max(peak, memory.in_use)

    async def story() -> None:
        await PartPipeline(store, memory, check_size=lambda _: None, part_size=part_size).run(pieces())

    run(story)
    assert memory.in_use == 0
    return parts, peak


@pytest.mark.parametrize("memory", [0, MIN_BUFFER_BYTES, 3 * MIN_BUFFER_BYTES, MIB, 8 * MIB])
def test_little_memory_makes_parts_smaller_and_rejects_nothing(service: Edge, memory: int) -> None:
    """With any budget every byte is stored in order, and at most 64 KiB beyond the budget are in use."""
    content = os.urandom(3 * MIB + 17)
    parts, peak = stored_parts(service, MemoryBudget(memory), content, part_size=MIB)
    assert b"".join(parts) == content
    assert peak <= memory + MIN_BUFFER_BYTES
    if memory == 8 * MIB:
        assert [len(part) for part in parts] == [MIB, MIB, MIB, 17]


@attrs.define(eq=False)
class _Reader:
    is_discarded: bool = False

    def discard(self) -> None:
        self.is_discarded = True


def test_oldest_read_ahead_is_discarded_first() -> None:
    """What exceeds the limit alone is discarded itself; a reader that has reclaimed its data loses nothing."""
    ahead, readers = ReadAhead(10), [_Reader() for _ in range(5)]
    for reader, count in zip(readers[:3], (5, 3, 2), strict=True):
        ahead.retain(reader, count)
    ahead.reclaim(readers[0])
    assert (ahead.in_use, ahead.fits(5), ahead.fits(6)) == (5, True, False)
    ahead.retain(readers[3], 6)
    assert [reader.is_discarded for reader in readers] == [False, True, False, False, False]
    ahead.retain(readers[4], 11)
    assert [reader.is_discarded for reader in readers] == [False, True, True, True, True]
    ahead.reclaim(readers[4])
    assert ahead.in_use == 0


def test_stream_without_read_ahead_yields_the_same_bytes(service: Edge) -> None:
    """A download that may retain nothing between two pieces yields every byte in order."""
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
    A client that must be awaited each time and then accepts 512 KiB.
    """

    is_idle: bool = True
    is_fast: bool = False
    is_broken: bool = False
    capacity: int = 0
    accepted: bytearray = attrs.field(factory=bytearray)

    def is_writable(self) -> bool:
        return self.capacity > 0

    async def wait_until_writable(self) -> None:
        self.capacity = MIB // 2

    def send(self, piece: memoryview) -> int:
        some = piece[: self.capacity]
        self.accepted += some
        self.capacity -= len(some)
        return len(some)


def test_slow_client_without_read_ahead_causes_few_repeated_reads(service: Edge) -> None:
    """Discarded bytes are not decrypted again and again: at most 3 MiB more than the file are read."""
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
        assert first + bytes(handle.accepted) == content
        stream.release()

    run(story)
    assert read_bytes <= len(content) + 3 * MIB


def test_slow_client_without_read_ahead_displaces_no_other(service: Edge) -> None:
    """A client that accepts each small read completely causes no other read-ahead to be discarded."""
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
        assert not other.is_discarded
        assert [piece async for piece in stream if piece] == []
        assert first + bytes(handle.accepted) == content
        assert not other.is_discarded
        stream.release()

    run(story)


def test_limits_follow_the_settings(make_edge: Callable[..., Edge]) -> None:
    """The memory budget excludes the minimum that each upload always has; read-ahead is used as set."""
    small = make_edge(TRANSFER_MEMORY_MIB="3", MAX_UPLOADS="16", MAX_UPLOADS_PER_USER="5", READ_AHEAD_MIB="13")
    limits = TransferLimits.from_settings(small.settings)
    assert (limits.uploads.limit, limits.uploads.user_limit) == (16, 5)
    assert (limits.memory.limit, limits.read_ahead.limit) == (1 * MIB, 13 * MIB)
    assert MIN_BUFFER_BYTES + MIN_PIECE_BYTES == MIN_UPLOAD_MEMORY_KIB << 10


def test_concatenations_use_at_most_half_of_the_threads(make_edge: Callable[..., Edge]) -> None:
    """They never wait for a client and would otherwise occupy all threads; at least one may always run."""
    for threads, expected in (("1", 1), ("2", 1), ("9", 4)):
        assert (
            TransferLimits.from_settings(make_edge(TRANSFER_THREADS=threads).settings).concatenations.limit == expected
        )


def test_request_beyond_the_user_limit_is_429(make_edge: Callable[..., Edge]) -> None:
    """Form, PUT, PATCH, creation and concatenation are 429 with Retry-After; then uploads succeed again."""
    service = make_edge(MAX_UPLOADS_PER_USER="1")
    token = service.sign_up()
    form = file_part(b"x") + FORM_END
    user = UserId(UUID(service.call("GET", "/auth/me", token=token).json["id"]))
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "1", "Upload-Metadata": "filename eA=="}
    location = service.call("POST", "/tus", token=token, headers=tus).headers["location"]
    patch = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    final = {"Tus-Resumable": "1.0.0", "Upload-Metadata": "filename eA==", "Upload-Concat": f"final;{location}"}
    path = location.removeprefix(service.settings.app.api_prefix)
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
