"""
From the pipeline to the vault: where the steps of storing a part run.

Blob I/O and encryption run on the transfer pool, transactions on the database pool, so that a store that hangs delays
no caller that does not need it, and a slow database blocks no thread of a transfer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import attrs

from sft_core.vault.model import Part
from sft_core.vault.use_cases import PartSlot, StorePart, UploadSession
from sft_http.concurrency.thread_pools import BoundedThreadPool, ThreadPools
from sft_http.transfers.part_pipeline import StoreCoroutine

T = TypeVar("T")


async def run_in(pool: BoundedThreadPool, call: Callable[[], T], *, may_reject: bool) -> T:
    """
    Run a call in a pool; one that may not be rejected waits without a limit.
    """
    return await (pool(call) if may_reject else pool.run_without_limit(call))


@attrs.frozen
class SequentialSink:
    """
    Implements `PartSink` by a call for each part, on the transfer pool.
    """

    _pools: ThreadPools
    _call: Callable[[memoryview], object]
    concurrency: int = attrs.field(default=1, init=False)

    async def submit(
        self, plaintext: memoryview, *, on_encrypted: Callable[[], object], may_reject: bool
    ) -> StoreCoroutine:
        del on_encrypted
        return self._run(partial(self._call, plaintext), may_reject=may_reject)

    async def _run(self, call: Callable[[], object], *, may_reject: bool) -> None:
        await run_in(self._pools.transfer, call, may_reject=may_reject)


@attrs.define
class ConcurrentSink:
    """
    Implements `PartSink` for an upload session: one part is encrypted while the store makes another one durable.

    Each part is accepted after the one before it, so that the upload never has a gap. With a `digest`, which is given
    the plaintext of every part in order, there is one part at a time.
    """

    _pools: ThreadPools
    _store_part: StorePart
    _session: UploadSession
    _digest: Callable[[memoryview], object] | None = None
    concurrency: int = attrs.field(init=False)
    _last: PartSlot | None = attrs.field(default=None, init=False)
    _last_accepted: asyncio.Event | None = attrs.field(default=None, init=False)

    @concurrency.default
    def _default_concurrency(self) -> int:
        return 2 if self._digest is None else 1

    async def submit(
        self, plaintext: memoryview, *, on_encrypted: Callable[[], object], may_reject: bool
    ) -> StoreCoroutine:
        slot = self._store_part.allocate(self._session, len(plaintext), after=self._last)
        if not self._store_part.is_reserved(self._session, slot):
            reserve = partial(self._store_part.reserve, self._session, slot)
            await run_in(self._pools.database, reserve, may_reject=may_reject)
        before, accepted = self._last_accepted, asyncio.Event()
        self._last, self._last_accepted = slot, accepted
        signal = partial(asyncio.get_running_loop().call_soon_threadsafe, on_encrypted)

        def put() -> Part:
            if self._digest is not None:
                self._digest(plaintext)
            return self._store_part.put(self._session, slot, plaintext, on_encrypted=signal)

        return self._stored(put, before, accepted, may_reject=may_reject)

    async def complete(self) -> None:
        """
        Store the empty part of a file without a byte.
        """
        if self._session.parts == 0:
            await (await self.submit(memoryview(b""), on_encrypted=lambda: None, may_reject=False))

    async def record(self) -> None:
        """
        Record the pending parts.
        """
        await self._in_database(partial(self._store_part.record, self._session))

    async def discard(self) -> None:
        """
        Discard the pending parts.
        """
        await self._in_database(partial(self._store_part.discard, self._session))

    async def _stored(
        self, put: Callable[[], Part], before: asyncio.Event | None, accepted: asyncio.Event, *, may_reject: bool
    ) -> None:
        part: Part | None = None

        def store() -> None:
            # Assigned on the pool's thread: what a task that is cancelled meanwhile has stored counts all the same.
            nonlocal part
            part = put()

        try:
            await run_in(self._pools.transfer, store, may_reject=may_reject)
        finally:
            # Also if it failed: the parts before it may be due, and a part after a gap becomes an orphan.
            try:
                if before is not None:
                    await before.wait()
                await self._accept(part, is_followed=self._last_accepted is not accepted)
            finally:
                accepted.set()

    async def _accept(self, part: Part | None, *, is_followed: bool) -> None:
        accept = partial(self._store_part.accept, self._session, part, is_followed=is_followed)
        if self._session.is_persisted:
            await self._in_database(accept)
        else:
            # Without a row there is nothing to ask the database for.
            accept()

    async def _in_database(self, step: Callable[[], None]) -> None:
        """
        Run a step on the database pool, then delete the orphans that it has left, on the transfer pool.
        """
        try:
            await self._pools.database.run_without_limit(step)
        finally:
            if self._session.orphans:
                await self._pools.transfer.run_without_limit(self._store_part.delete_orphans, self._session)
