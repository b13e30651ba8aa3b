"""
The sweep: garbage collection after crashed processes, store outages and disconnected clients.

No step needs to run exactly once or on one machine. A sweep may be killed at any point, and may run
beside other sweeps and all traffic: each step wins a compare-and-set, or changes only what no
client can reach any more. The next sweep does what this one did not finish.
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
"""How long the sweep's lease is valid without a renewal; then another process may sweep."""

SWEEP_LEASE: Final = "sweep"


@attrs.frozen(kw_only=True)
class SweepPolicy:
    """
    Grace periods of the sweep.

    `idle` is the time without a new byte after which a resumable upload is aborted, `single_idle` the
    same for an upload that ends with its request. `single_idle` must be longer than the slowest client
    needs to send a part plus the store to keep it, because `touched_at` is updated only after a part is
    stored.

    `expiry_grace` is the time after its expiry at which a file is deleted. No caller can read the file in
    the meantime, but without it a clock that was wrong for a moment would have deleted a live file.

    `grace` is the age at which a blob without a row may be deleted. A small file is committed moments
    after its one part is stored, so `grace` must be far longer than that and than the difference between
    clocks. The intent row of a larger upload is committed before its first part.

    `retention` is the time that a store keeps expired entries, because clocks jump. `batch` is the number
    of rows or blobs processed together.
    """

    idle: timedelta
    single_idle: timedelta
    grace: timedelta
    ended: timedelta = timedelta(hours=1)
    kept: timedelta = timedelta(days=1)
    batch: int = 100

    def idle_since(self, now: datetime) -> IdleSince:
        """
        Return the latest times of the last byte at which an upload is idle now.
        """
        return IdleSince(resumable=now - self.idle, single=now - self.single_idle)


@attrs.define(kw_only=True)
class Swept:
    """
    The counts of what a sweep did, or in a dry run would do.

    `given_up` uploads were aborted and `expired` files expired; `removed` files were deleted completely,
    both of these included. `orphans` blobs without a row were deleted, with `orphan_bytes` together.
    `forgotten` expired entries of stores were deleted. `failures` counts errors by code.
    `is_complete` is False if something was left unchecked.
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
    A sweep in progress.
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
        Yield the items for which `act` succeeded; in a dry run, all items.

        A failure is counted and the next item tried. An exhausted failure budget ends the step.
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
    Complete unfinished work and delete what has expired.

    The steps: abort idle uploads, expire files, complete deletions, delete orphans, delete expired
    entries; in this order, so that one sweep also deletes what it has just aborted or expired. If the
    blob store is unavailable, only the steps that need it fail. If it belongs to another database
    (`StoreMismatch`), no orphan is deleted. `should_continue` is called before each item; a `dry_run`
    changes nothing and counts.
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
            # A step that needs the store reports the error itself; the others do not need it.
            pass
        # One step for each store, so that the failure of one does not affect the others.
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
            # A dry run aborts nothing, so the step that completes deletions will not count this file.
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
    Abort an upload that has been idle since then, and destroy its key.

    Returns False if the upload is no longer idle.
    """
    with begin() as unit:
        won = unit.leftovers.give_up(file_id, since=since, now=now)
        unit.commit()
    return won


def expire(begin: Begin[SweepUnit], file_id: FileId, *, by: datetime, now: datetime) -> bool:
    """
    Start deleting a file that expired by a moment, and destroy its key.

    Returns False if the file has not expired by then.
    """
    with begin() as unit:
        won = unit.leftovers.expire(file_id, by=by, now=now)
        unit.commit()
    return won


@attrs.frozen(kw_only=True)
class SweepInTurn:
    """
    Run the sweep under a lease; return None if another process has it.

    After a sweep the process keeps the lease for twice the `interval`, so the next sweep is usually its
    own; another process takes over after `stop`, or when the lease expires because this one died.
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
        Release the lease for other processes.
        """
        self.leases.let_go(SWEEP_LEASE, holder=self.holder)

    def _keep(self, duration: timedelta) -> bool:
        now = self.sweep.clock.now()
        return self.leases.take(SWEEP_LEASE, holder=self.holder, now=now, until=now + duration)
