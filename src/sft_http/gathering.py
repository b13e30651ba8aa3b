"""
What arrives of a body, regrouped into parts and stored while more of it arrives.

There is one buffer of a part's size more than there are parts being stored: while threads encrypt
and store those, the loop fills the spare one. When none is spare the loop stops reading, and TCP
makes the client wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Coroutine
from functools import partial
from typing import Any, Protocol, TypeVar

import attrs

from sft_core.application import Application
from sft_core.vault.use_cases import Place, Upload
from sft_http.buffers import PartBuffer
from sft_http.lanes import Lane, Lanes
from sft_http.limits import Memory

T = TypeVar("T")
Stored = Coroutine[Any, Any, None]


class Parts(Protocol):
    """
    How the parts of a body are stored: one after the other, or several at once.
    """

    @property
    def at_once(self) -> int:
        """
        How many are stored at the same time, at most.
        """
        ...

    async def begin(self, plaintext: memoryview, *, refusable: bool) -> Stored:
        """
        Give the next part its place; what is returned stores it, and is awaited in any case.

        One that is `refusable` is refused if no thread is free in time; others wait as long as it takes.
        """
        ...


@attrs.frozen
class PartAfterPart:
    """
    Implements `Parts` by a call that stores the next one.
    """

    _lanes: Lanes
    _store: Callable[[memoryview], None]
    at_once: int = attrs.field(default=1, init=False)

    async def begin(self, plaintext: memoryview, *, refusable: bool) -> Stored:
        return _run(self._lanes.bytes, partial(self._store, plaintext), refusable=refusable)


@attrs.define
class PartsAbreast:
    """
    Implements `Parts` for a large upload: one is encrypted while the store makes another one durable.

    They are counted as the upload's in their order, so that what is recorded has no gap.
    """

    _lanes: Lanes
    _application: Application
    _upload: Upload
    at_once: int = attrs.field(default=2, init=False)
    _last: Place | None = attrs.field(default=None, init=False)
    _last_settled: asyncio.Event | None = attrs.field(default=None, init=False)

    async def begin(self, plaintext: memoryview, *, refusable: bool) -> Stored:
        place = partial(self._application.store_part.place, self._upload, len(plaintext), after=self._last)
        self._last = await _run(self._lanes.control, place, refusable=refusable)
        before, self._last_settled = self._last_settled, asyncio.Event()
        return self._stored(plaintext, self._last, before, self._last_settled, refusable=refusable)

    async def _stored(
        self,
        plaintext: memoryview,
        place: Place,
        before: asyncio.Event | None,
        settled: asyncio.Event,
        *,
        refusable: bool,
    ) -> None:
        store_part = self._application.store_part
        try:
            put = partial(store_part.put, self._upload, place, plaintext)
            part = await _run(self._lanes.bytes, put, refusable=refusable)
            if before is not None:
                await before.wait()
            # Also if the one before it failed: then this one is taken back, if nobody else does it.
            await self._lanes.control.insist(store_part.settle, self._upload, part)
        finally:
            settled.set()


@attrs.define
class Gathering:
    """
    Regroups what arrives into parts and has them stored while the next one fills.

    `admit` raises if the upload may not have so many bytes. With `keeps_what_came` the bytes that
    have come before a stream breaks off are stored as a last, shorter part before its error comes
    out; without it they are dropped.
    """

    _parts: Parts
    _memory: Memory
    _admit: Callable[[int], None] = attrs.field(kw_only=True)
    _part_size: int = attrs.field(kw_only=True)
    _keeps_what_came: bool = attrs.field(default=False, kw_only=True)
    _buffers: deque[PartBuffer] = attrs.field(factory=deque, init=False)
    """The one that fills first, and that which will be free next last."""
    _fills: bool = attrs.field(default=False, init=False)
    _under_way: deque[asyncio.Task[None]] = attrs.field(factory=deque, init=False)
    _began: bool = attrs.field(default=False, init=False)

    async def take(self, stream: AsyncIterable[bytes]) -> None:
        """
        Store everything the stream holds; when it returns, every part is durable.
        """
        try:
            await self._fill(stream)
            await self._hand_over()
            await self._down_to(0)
        finally:
            try:
                # A part under way must have ended before anybody takes the upload apart.
                await asyncio.gather(*self._under_way, return_exceptions=True)
            finally:
                # Also if it is cancelled here: that too comes out when all of them have ended.
                for buffer in self._buffers:
                    buffer.release()

    async def _fill(self, stream: AsyncIterable[bytes]) -> None:
        total = 0
        pieces = aiter(stream)
        while True:
            try:
                piece = await anext(pieces, None)
                if piece is None:
                    break
                total += len(piece)
                self._admit(total)
            except BaseException:
                if self._keeps_what_came:
                    await self._hand_over()
                    await self._down_to(0)
                raise
            rest = memoryview(piece)
            while rest:
                if not self._fills:
                    await self._turn()
                rest = rest[self._buffers[0].add(rest) :]
                if self._buffers[0].is_full:
                    await self._hand_over()

    async def _turn(self) -> None:
        """
        Put a buffer first that is not busy: another one if there may be more and memory is left.
        """
        another = None
        if not self._buffers:
            another = PartBuffer.only(self._memory, self._part_size)
        elif len(self._buffers) <= self._parts.at_once:
            another = PartBuffer.beside_another(self._memory, self._part_size)
        if another is not None:
            self._buffers.appendleft(another)
        else:
            await self._down_to(len(self._buffers) - 1)
            self._buffers.rotate(1)
            self._buffers[0].clear()
        self._fills = True

    async def _hand_over(self) -> None:
        """
        Begin to store what has been gathered once there is room for it; its buffer is busy until it is stored.

        Only the first one may be refused: the client waits with those after it, and what it has
        sent is not thrown away for being busy.
        """
        if not self._fills:
            return
        self._fills = False
        await self._down_to(self._parts.at_once - 1)
        stored = await self._parts.begin(self._buffers[0].content, refusable=not self._began)
        self._began = True
        self._under_way.append(asyncio.create_task(stored))

    async def _down_to(self, count: int) -> None:
        """
        Wait until no more than so many parts are being stored; the first error of one comes out.
        """
        while len(self._under_way) > count:
            first = self._under_way[0]
            # Not the task itself, which would be cancelled with whoever waits here: what has come is
            # kept, and one that has not begun could never tell those behind it that it is over.
            await asyncio.wait([first])
            first.result()
            self._under_way.popleft()


async def _run(lane: Lane, call: Callable[[], T], *, refusable: bool) -> T:
    return await (lane(call) if refusable else lane.insist(call))
