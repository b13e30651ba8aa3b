"""
The sweep: garbage collection after crashed processes, store outages and disconnected clients.

No step needs to run exactly once or on one machine. A sweep may be killed at any point, and may run beside other sweeps
and all traffic: each step wins a compare-and-set, or changes only data that no request can reach any more. The next
sweep continues what this one did not finish.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import attrs

from sft_core.errors import SftError, StoreMismatch
from sft_core.maintenance.failure_budget import FailureBudget
from sft_core.maintenance.orphans import delete_orphan, find_unreferenced_blobs
from sft_core.maintenance.paging import paged
from sft_core.maintenance.ports import IdleCutoffs, MaintenanceUnit
from sft_core.maintenance.store_identity import reject_database_copy
from sft_core.ports import Clock, ExpiringStore, Leases, UnitOfWorkFactory
from sft_core.values import FileId
from sft_core.vault.ports import IdentifiedBlobStore
from sft_core.vault.use_cases import purge

T = TypeVar("T")
ShouldContinue = Callable[[], bool]

LEASE_DURATION: Final = timedelta(minutes=2)
"""How long the sweep's lease is valid without a renewal; then another process may sweep."""

SWEEP_LEASE_NAME: Final = "sweep"


@attrs.frozen(kw_only=True)
class SweepPolicy:
    """
    Grace periods of the sweep.

    `idle` is the time without a new byte after which a resumable upload is aborted; `non_resumable_idle` is the same
    for an upload that ends with its request. The latter must exceed the time in which the slowest client sends one part
    plus the time in which the blob store writes it, because `touched_at` may be updated only after a part is stored.

    `expiry_grace` is the time between a file's expiry and its deletion. No caller can read the file in it; without it,
    a brief error of the clock could delete a file that has not expired.

    `orphan_grace` is the age at which a blob without a row may be deleted. A small file is committed moments after its
    single part is stored, so `orphan_grace` must be far longer than those moments and the clock skew together. A larger
    upload commits a row before its first part, so its blobs always have one.

    `retention` is the time for which an `ExpiringStore` (sessions, rate limits, interrupted puts) keeps what has
    expired, so that a clock that jumps deletes nothing too early. `batch_size` is the number of rows or blobs processed
    together.
    """

    idle: timedelta
    non_resumable_idle: timedelta
    orphan_grace: timedelta
    expiry_grace: timedelta = timedelta(hours=1)
    retention: timedelta = timedelta(days=1)
    batch_size: int = 100

    def idle_cutoffs(self, now: datetime) -> IdleCutoffs:
        return IdleCutoffs(resumable=now - self.idle, non_resumable=now - self.non_resumable_idle)


@attrs.define(kw_only=True)
class SweepResult:
    """
    The counts of what a sweep did, or in a dry run would do.

    `given_up` uploads were aborted, `expired` files expired, and `removed` files deleted completely, which includes
    those of both counts whose deletion was finished. `orphans` blobs without a row were deleted, `orphan_bytes` in
    total, and `forgotten` entries of the `ExpiringStore`s. `failures` counts errors by code. `is_complete` is False if
    something was not checked.
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
class _SweepRun:
    clock: Clock
    dry_run: bool
    should_continue: ShouldContinue
    now: datetime = attrs.field(default=attrs.Factory(lambda run: run.clock.now(), takes_self=True), init=False)
    result: SweepResult = attrs.field(factory=SweepResult, init=False)

    def each(self, items: Iterable[T], act: Callable[[T], bool]) -> Iterator[T]:
        """
        Yield the items for which `act` succeeded; in a dry run, all items.

        A failure is counted and the next item tried. An exhausted failure budget ends the step.
        """
        failure_budget = FailureBudget(self.clock)
        for item in items:
            if not self.should_continue():
                self.result.is_complete = False
                return
            try:
                done = self.dry_run or act(item)
            except SftError as error:
                if failure_budget.record_failure():
                    raise
                self.result.failures[error.code] += 1
            else:
                failure_budget.record_success()
                if done:
                    yield item


@attrs.frozen(kw_only=True)
class Sweep:
    """
    Complete unfinished work and delete what has expired.

    The steps: abort idle uploads, expire files, complete deletions, delete orphans, delete expired entries; in this
    order, so that one sweep also deletes what it has just aborted or expired. If the blob store is unavailable, only
    the steps that need it fail. If it belongs to another database (`StoreMismatch`), no orphan is deleted; if it has a
    store id and the database has none, nothing is done. `should_continue` is called before each item; a `dry_run`
    changes nothing and counts.
    """

    begin: UnitOfWorkFactory[MaintenanceUnit]
    clock: Clock
    blobs: IdentifiedBlobStore
    expiring: Sequence[ExpiringStore]
    policy: SweepPolicy

    def __call__(self, *, dry_run: bool = False, should_continue: ShouldContinue = lambda: True) -> SweepResult:
        sweep = _SweepRun(self.clock, dry_run, should_continue)
        try:
            reject_database_copy(self.begin, self.blobs)
        except StoreMismatch as error:
            sweep.result.failures[error.code] += 1
            sweep.result.is_complete = False
            return sweep.result
        except SftError:
            # A step that needs the store reports the error itself; the others do not need it.
            pass
        # One step for each store, so that the failure of one does not affect the others.
        forget: list[Callable[[_SweepRun], None]] = [partial(self._delete_expired, store) for store in self.expiring]
        for step in (self._abort_idle, self._expire, self._finish_removals, self._delete_orphans, *forget):
            try:
                step(sweep)
            except SftError as error:
                sweep.result.failures[error.code] += 1
                sweep.result.is_complete = False
        return sweep.result

    def _abort_idle(self, sweep: _SweepRun) -> None:
        since, limit = self.policy.idle_cutoffs(sweep.now), self.policy.batch_size
        idle = paged(self.begin, lambda unit, last: unit.reclaimable.idle(since=since, after=last, limit=limit))
        for _ in sweep.each(idle, lambda file_id: abort_idle(self.begin, file_id, since=since, now=sweep.now)):
            sweep.result.given_up += 1
            # A dry run aborts nothing, so the step that completes deletions will not count this file.
            sweep.result.removed += sweep.dry_run

    def _expire(self, sweep: _SweepRun) -> None:
        by, limit = sweep.now - self.policy.expiry_grace, self.policy.batch_size

        def expire(file_id: FileId) -> bool:
            with self.begin() as unit:
                won = unit.reclaimable.expire(file_id, by=by, now=sweep.now)
                unit.commit()
            return won

        expired = paged(self.begin, lambda unit, last: unit.reclaimable.expired(by=by, after=last, limit=limit))
        for _ in sweep.each(expired, expire):
            sweep.result.expired += 1
            sweep.result.removed += sweep.dry_run

    def _finish_removals(self, sweep: _SweepRun) -> None:
        limit = self.policy.batch_size
        condemned = paged(self.begin, lambda unit, last: unit.reclaimable.in_deletion(after=last, limit=limit))
        for _ in sweep.each(condemned, self._purge):
            sweep.result.removed += 1

    def _purge(self, file_id: FileId) -> bool:
        purge(self.begin, self.blobs, file_id)
        return True

    def _delete_orphans(self, sweep: _SweepRun) -> None:
        before, batch_size = sweep.now - self.policy.orphan_grace, self.policy.batch_size
        unreferenced_blobs = find_unreferenced_blobs(self.begin, self.blobs, before=before, batch_size=batch_size)
        orphans = (unreferenced.blob for unreferenced in unreferenced_blobs if unreferenced.part_of is None)
        for blob in sweep.each(orphans, lambda blob: delete_orphan(self.begin, self.blobs, blob)):
            sweep.result.orphans += 1
            sweep.result.orphan_bytes += blob.size

    def _delete_expired(self, store: ExpiringStore, sweep: _SweepRun) -> None:
        before = sweep.now - self.policy.retention
        if sweep.dry_run:
            sweep.result.forgotten += store.count_expired(before=before)
            return
        for count in sweep.each(self._expired_counts(store, before), bool):
            sweep.result.forgotten += count

    def _expired_counts(self, store: ExpiringStore, before: datetime) -> Iterator[int]:
        count = limit = self.policy.batch_size
        while count == limit:
            count = store.delete_expired(before=before, limit=limit)
            yield count


def abort_idle(
    begin: UnitOfWorkFactory[MaintenanceUnit], file_id: FileId, *, since: IdleCutoffs, now: datetime
) -> bool:
    """
    Abort an idle upload (`ReclaimableFiles.abort_idle`) in a unit of its own.
    """
    with begin() as unit:
        won = unit.reclaimable.abort_idle(file_id, since=since, now=now)
        unit.commit()
    return won


@attrs.frozen(kw_only=True)
class LeasedSweep:
    """
    Run the sweep under a lease; return None if another process has the lease.

    Concurrent sweeps are safe; the lease only avoids the work of a second one. After a sweep the process keeps the
    lease for twice the `interval`, so the same process usually runs the next sweep too. Another process takes over
    after `stop`, or when the lease expires because this one died.
    """

    sweep: Sweep
    leases: Leases
    holder: str
    interval: timedelta

    def __call__(self, *, should_continue: ShouldContinue = lambda: True) -> SweepResult | None:
        if not self._renew_lease(LEASE_DURATION):
            return None
        renewed_at = self.sweep.clock.now()

        def should_continue_and_renew() -> bool:
            nonlocal renewed_at
            now = self.sweep.clock.now()
            if now - renewed_at >= LEASE_DURATION / 4:
                renewed_at = now
                return should_continue() and self._renew_lease(LEASE_DURATION)
            return should_continue()

        result = self.sweep(should_continue=should_continue_and_renew)
        self._renew_lease(2 * self.interval)
        return result

    def stop(self) -> None:
        self.leases.release(SWEEP_LEASE_NAME, holder=self.holder)

    def _renew_lease(self, duration: timedelta) -> bool:
        now = self.sweep.clock.now()
        return self.leases.acquire(SWEEP_LEASE_NAME, holder=self.holder, now=now, until=now + duration)
