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

from sft_core.vault.model import Part
from sft_core.vault.use_cases import Place
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
        return run_on(self._lanes.bytes, partial(self._store, plaintext), refusable=refusable)


class Steps(Protocol):
    """
    The steps in which a part is stored.
    """

    async def place(self, size: int, *, after: Place | None, refusable: bool) -> Place:
        """
        Where so many bytes go: behind `after`, or behind what there is.
        """
        ...

    def put(self, place: Place, plaintext: memoryview) -> Part:
        """
        Encrypt a part and store it; on a thread, as `settle`.
        """
        ...

    def settle(self, part: Part | None, *, is_followed: bool) -> None:
        """
        Let a part count, in the order of their places; None stands for one that could not be put.

        `is_followed` tells whether another one is under way behind it.
        """
        ...


@attrs.define
class PartsAbreast:
    """
    Implements `Parts` for a large body: one is encrypted while the store makes another one durable.

    Each is settled after the one before it, so that what counts has no gap.
    """

    _lanes: Lanes
    _steps: Steps
    at_once: int = attrs.field(default=2, init=False)
    _last: Place | None = attrs.field(default=None, init=False)
    _last_settled: asyncio.Event | None = attrs.field(default=None, init=False)

    async def begin(self, plaintext: memoryview, *, refusable: bool) -> Stored:
        self._last = await self._steps.place(len(plaintext), after=self._last, refusable=refusable)
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
        part: Part | None = None

        def put() -> None:
            # Assigned on the lane's thread: what a task that is cancelled meanwhile has stored counts all the same.
            nonlocal part
            part = self._steps.put(place, plaintext)

        try:
            await run_on(self._lanes.bytes, put, refusable=refusable)
        finally:
            # Also if it failed: it may be for this one to settle those before it, or to be taken back.
            try:
                if before is not None:
                    await before.wait()
                is_followed = self._last_settled is not settled
                await self._lanes.bytes.insist(self._steps.settle, part, is_followed=is_followed)
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


async def run_on(lane: Lane, call: Callable[[], T], *, refusable: bool) -> T:
    """
    Run a call on a lane; one that is not `refusable` waits as long as it takes.
    """
    return await (lane(call) if refusable else lane.insist(call))
