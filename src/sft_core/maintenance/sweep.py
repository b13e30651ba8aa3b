"""
The sweep: whatever a process that died, a store that was away or a client that left has not finished.

Nothing here needs to happen once or in one place. A sweep may die anywhere, run beside others and
beside everything that people do: each step is won by a compare-and-set or changes nothing that
anybody could still reach, and what is not done the next sweep does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import attrs

from sft_core.errors import SftError, StoreOfAnother
from sft_core.maintenance.failure_budget import Patience
from sft_core.maintenance.orphans import find_strays, remove_orphan
from sft_core.maintenance.ports import IdleSince, SweepUnit
from sft_core.maintenance.store_identity import require_no_copy
from sft_core.ports import Begin, Clock, Expiring, Leases
from sft_core.values import FileId
from sft_core.vault.ports import MarkedStore
from sft_core.vault.use_cases import purge

T = TypeVar("T")
MayGoOn = Callable[[], bool]

LEASE: Final = timedelta(minutes=2)
"""How long a sweep may give no sign of life before another one takes its turn."""

SWEEP_LEASE: Final = "sweep"


@attrs.frozen(kw_only=True)
class SweepPolicy:
    """
    How long things are left alone: an upload without a new byte for `idle`, a blob without a row for `grace`.

    An upload that ends with its request, because nobody could go on with it, is left alone for
    `single_idle` only: longer than the slowest client takes for a part and the store for keeping
    it, for then its row tells that it moves.

    A file whose end has come is destroyed when it has been over for `ended`. Nobody could open it in
    the meantime; but a clock that was wrong for a moment would have destroyed what has time left.

    The row of a small file comes with its commit, moments after its one part was stored: `grace` has
    to be longer than that by far, and than clocks differ. An upload of several parts has its row
    before its first part. What a store knows to be over is kept for `kept` beyond its end, because
    clocks jump. `batch` is how many rows or blobs are looked at together.
    """

    idle: timedelta
    single_idle: timedelta
    grace: timedelta
    ended: timedelta = timedelta(hours=1)
    kept: timedelta = timedelta(days=1)
    batch: int = 100

    def idle_since(self, now: datetime) -> IdleSince:
        """
        When an upload that is idle now has got its last byte, or earlier.
        """
        return IdleSince(resumable=now - self.idle, single=now - self.single_idle)


@attrs.define(kw_only=True)
class Swept:
    """
    What a sweep has done, or would do.

    Uploads `given_up`; files `expired`; files `removed` to the last row, these among them; blobs of no row, and
    their bytes; rows and remains `forgotten` that had been over for long; what failed, by the
    error's code. It is complete if it has looked at everything.
    """

    given_up: int = 0
    expired: int = 0
    removed: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    forgotten: int = 0
    failures: Counter[str] = attrs.field(factory=Counter)
    is_complete: bool = True


@attrs.frozen
class _Round:
    """
    A sweep under way.
    """

    clock: Clock
    dry_run: bool
    may_go_on: MayGoOn
    now: datetime = attrs.field(init=False)
    swept: Swept = attrs.field(factory=Swept, init=False)

    @now.default
    def _now(self) -> datetime:
        return self.clock.now()

    def each(self, items: Iterable[T], act: Callable[[T], bool]) -> Iterator[T]:
        """
        The items with which it went well; in a dry run all of them, with nothing done.

        A failure is noted and the next one is tried; a step in which nothing goes any more ends.
        """
        patience = Patience(self.clock)
        for item in items:
            if not self.may_go_on():
                self.swept.is_complete = False
                return
            try:
                done = self.dry_run or act(item)
            except SftError as error:
                if patience.is_over():
                    raise
                self.swept.failures[error.code] += 1
            else:
                patience.restore()
                if done:
                    yield item


_Step = Callable[[_Round], None]


def _always() -> bool:
    return True


@attrs.frozen(kw_only=True)
class Sweep:
    """
    Finish what is unfinished, and end what is over.

    Uploads nobody goes on with, expired files, removals half-done, blobs of no row, old rows: in
    this order, so that what has come to its end is removed at once. A store that is away makes only that
    fail which needs it, and one that is another database's (`StoreOfAnother`) the blobs of no row.
    `may_go_on` is asked before each step; a `dry_run` changes nothing and
    counts what there is.
    """

    begin: Begin[SweepUnit]
    clock: Clock
    blobs: MarkedStore
    expiring: Sequence[Expiring]
    policy: SweepPolicy

    def __call__(self, *, dry_run: bool = False, may_go_on: MayGoOn = _always) -> Swept:
        sweep = _Round(self.clock, dry_run, may_go_on)
        try:
            require_no_copy(self.begin, self.blobs)
        except StoreOfAnother as error:
            sweep.swept.failures[error.code] += 1
            sweep.swept.is_complete = False
            return sweep.swept
        except SftError:
            # Each step says so itself, or can do without.
            pass
        # A step for each of the expiring, so that one which fails keeps nobody else's past.
        forget: list[_Step] = [partial(self._forget, store) for store in self.expiring]
        for step in (self._give_up_idle, self._expire, self._finish_removals, self._remove_orphans, *forget):
            try:
                step(sweep)
            except SftError as error:
                sweep.swept.failures[error.code] += 1
                sweep.swept.is_complete = False
        return sweep.swept

    def _give_up_idle(self, sweep: _Round) -> None:
        since = self.policy.idle_since(sweep.now)
        idle = self._pages(lambda unit, after: unit.leftovers.idle(since=since, after=after, limit=self.policy.batch))
        for _ in sweep.each(idle, lambda file_id: give_up(self.begin, file_id, since=since, now=sweep.now)):
            sweep.swept.given_up += 1
            # What is only counted will not be met among the condemned ones.
            sweep.swept.removed += sweep.dry_run

    def _expire(self, sweep: _Round) -> None:
        by = sweep.now - self.policy.ended
        ended = self._pages(lambda unit, after: unit.leftovers.expired(by=by, after=after, limit=self.policy.batch))
        for _ in sweep.each(ended, lambda file_id: expire(self.begin, file_id, by=by, now=sweep.now)):
            sweep.swept.expired += 1
            sweep.swept.removed += sweep.dry_run

    def _finish_removals(self, sweep: _Round) -> None:
        condemned = self._pages(lambda unit, after: unit.leftovers.condemned(after=after, limit=self.policy.batch))
        for _ in sweep.each(condemned, self._purge):
            sweep.swept.removed += 1

    def _purge(self, file_id: FileId) -> bool:
        purge(self.begin, self.blobs, file_id)
        return True

    def _pages(self, look: Callable[[SweepUnit, FileId | None], Sequence[FileId]]) -> Iterator[FileId]:
        after: FileId | None = None
        while True:
            with self.begin(read_only=True) as unit:
                found = look(unit, after)
            yield from found
            if not found:
                return
            after = found[-1]

    def _remove_orphans(self, sweep: _Round) -> None:
        before, together = sweep.now - self.policy.grace, self.policy.batch
        strays = find_strays(self.begin, self.blobs, before=before, together=together)
        orphans = (stray.blob for stray in strays if stray.part_of is None)
        for blob in sweep.each(orphans, lambda blob: remove_orphan(self.begin, self.blobs, blob)):
            sweep.swept.orphans += 1
            sweep.swept.orphan_bytes += blob.size

    def _forget(self, store: Expiring, sweep: _Round) -> None:
        before = sweep.now - self.policy.kept
        if sweep.dry_run:
            sweep.swept.forgotten += store.over(before=before)
            return
        for count in sweep.each(self._pruned(store, before), bool):
            sweep.swept.forgotten += count

    def _pruned(self, store: Expiring, before: datetime) -> Iterator[int]:
        count = limit = self.policy.batch
        while count == limit:
            count = store.prune(before=before, limit=limit)
            yield count


def give_up(begin: Begin[SweepUnit], file_id: FileId, *, since: IdleSince, now: datetime) -> bool:
    """
    Win the end of an upload that has been idle since then: from here on its bytes are noise.
    """
    with begin() as unit:
        won = unit.leftovers.give_up(file_id, since=since, now=now)
        unit.commit()
    return won


def expire(begin: Begin[SweepUnit], file_id: FileId, *, by: datetime, now: datetime) -> bool:
    """
    Win the end of a file that has expired by a moment: from here on its bytes are noise.
    """
    with begin() as unit:
        won = unit.leftovers.expire(file_id, by=by, now=now)
        unit.commit()
    return won


@attrs.frozen(kw_only=True)
class SweepInTurn:
    """
    Sweep unless somebody else does, on this machine or another one; None if so.

    Whoever has swept keeps the turn until the one after the next `interval`: it passes on when its
    holder dies, and not before. `stop` gives it back.
    """

    sweep: Sweep
    leases: Leases
    holder: str
    interval: timedelta

    def __call__(self, *, may_go_on: MayGoOn = _always) -> Swept | None:
        if not self._keep(LEASE):
            return None
        renewed_at = self.sweep.clock.now()

        def may_still_go_on() -> bool:
            nonlocal renewed_at
            now = self.sweep.clock.now()
            if now - renewed_at >= LEASE / 4:
                renewed_at = now
                return may_go_on() and self._keep(LEASE)
            return may_go_on()

        swept = self.sweep(may_go_on=may_still_go_on)
        self._keep(2 * self.interval)
        return swept

    def stop(self) -> None:
        """
        Leave the turn to others.
        """
        self.leases.let_go(SWEEP_LEASE, holder=self.holder)

    def _keep(self, duration: timedelta) -> bool:
        now = self.sweep.clock.now()
        return self.leases.take(SWEEP_LEASE, holder=self.holder, now=now, until=now + duration)
