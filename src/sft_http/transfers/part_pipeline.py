"""
What arrives of a body, regrouped into parts and stored while more of it arrives.

There are two buffers of a part's size: while a thread encrypts what is in one, the loop fills the
other. A part of which every byte has been encrypted needs its buffer no more, however long the
store takes with it. When no buffer is free the loop stops reading, and TCP makes the client wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import attrs

from sft_core.vault.model import Part
from sft_core.vault.use_cases import Place
from sft_http.concurrency.memory_budgets import Memory
from sft_http.concurrency.thread_pools import Lane, Lanes
from sft_http.transfers.part_buffer import PartBuffer

T = TypeVar("T")
Stored = Coroutine[Any, Any, None]

_BUFFERS: Final = 2


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

    async def begin(self, plaintext: memoryview, *, taken: Callable[[], object], refusable: bool) -> Stored:
        """
        Give the next part its place; what is returned stores it, and is awaited in any case.

        `taken` may be called, on the loop, as soon as the plaintext is needed no more. One that is
        `refusable` is refused if no thread is free in time; others wait as long as it takes.
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

    async def begin(self, plaintext: memoryview, *, taken: Callable[[], object], refusable: bool) -> Stored:
        del taken
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

    def put(self, place: Place, plaintext: memoryview, *, taken: Callable[[], object]) -> Part:
        """
        Encrypt a part and store it; on a thread, as `settle`. `taken` is called when all is encrypted.
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

    async def begin(self, plaintext: memoryview, *, taken: Callable[[], object], refusable: bool) -> Stored:
        self._last = await self._steps.place(len(plaintext), after=self._last, refusable=refusable)
        before, self._last_settled = self._last_settled, asyncio.Event()
        loop = asyncio.get_running_loop()
        put = partial(self._steps.put, self._last, plaintext, taken=partial(loop.call_soon_threadsafe, taken))
        return self._stored(put, before, self._last_settled, refusable=refusable)

    async def _stored(
        self,
        put: Callable[[], Part],
        before: asyncio.Event | None,
        settled: asyncio.Event,
        *,
        refusable: bool,
    ) -> None:
        part: Part | None = None

        def stored() -> None:
            # Assigned on the lane's thread: what a task that is cancelled meanwhile has stored counts all the same.
            nonlocal part
            part = put()

        try:
            await run_on(self._lanes.bytes, stored, refusable=refusable)
        finally:
            # Also if it failed: it may be for this one to settle those before it, or to be taken back.
            try:
                if before is not None:
                    await before.wait()
                is_followed = self._last_settled is not settled
                await self._lanes.bytes.insist(self._steps.settle, part, is_followed=is_followed)
            finally:
                settled.set()


@attrs.define(eq=False)
class _Held:
    """
    A buffer, and whether what it was last handed over with is needed no more.
    """

    buffer: PartBuffer
    is_free: asyncio.Event = attrs.field(factory=asyncio.Event)

    def handed_over(self) -> Callable[[], None]:
        """
        Be busy until what is returned has been called, which belongs to this content alone.
        """
        self.is_free = asyncio.Event()
        return self.is_free.set


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
    _buffers: deque[_Held] = attrs.field(factory=deque, init=False)
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
                for held in self._buffers:
                    held.buffer.release()

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
                buffer = self._buffers[0].buffer
                rest = rest[buffer.add(rest) :]
                if buffer.is_full:
                    await self._hand_over()

    async def _turn(self) -> None:
        """
        Put a buffer first that is free: another one if there may be more and memory is left.
        """
        another = None
        if not self._buffers:
            another = PartBuffer.only(self._memory, self._part_size)
        elif len(self._buffers) < _BUFFERS:
            another = PartBuffer.beside_another(self._memory, self._part_size)
        if another is not None:
            self._buffers.appendleft(_Held(another))
        else:
            self._buffers.rotate(1)
            await self._buffers[0].is_free.wait()
            self._buffers[0].buffer.clear()
        self._fills = True

    async def _hand_over(self) -> None:
        """
        Begin to store what has been gathered once there is room for it; until it is encrypted its buffer is busy.

        Only the first one may be refused: the client waits with those after it, and what it has
        sent is not thrown away for being busy.
        """
        if not self._fills:
            return
        self._fills = False
        await self._down_to(self._parts.at_once - 1)
        first = self._buffers[0]
        taken = first.handed_over()
        stored = await self._parts.begin(first.buffer.content, taken=taken, refusable=not self._began)
        self._began = True
        self._under_way.append(asyncio.create_task(stored))
        self._under_way[-1].add_done_callback(lambda _: taken())

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
