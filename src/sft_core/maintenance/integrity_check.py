"""
The integrity check: compare rows, parts, keys and quotas with one another, in both directions.

It is read-only unless a repair is requested, and a repair changes only what the other data determine beyond doubt. Of a
sealed file it changes no blob, and of its row only the quota reservation: a damaged copy may be the only one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

import attrs

from sft_core.errors import BlobStoreUnavailable, InvalidValue, RowDamaged, StoreMismatch, Unavailable
from sft_core.maintenance.check_files import CheckFile, PartFilter
from sft_core.maintenance.check_records import CheckRecords
from sft_core.maintenance.failure_budget import FailureBudget
from sft_core.maintenance.findings import Damage, Finding
from sft_core.maintenance.orphans import UnreferencedBlob, delete_orphan, find_unreferenced_blobs
from sft_core.maintenance.paging import PAGE, paged
from sft_core.maintenance.ports import MaintenanceUnit
from sft_core.maintenance.store_identity import reject_database_copy
from sft_core.maintenance.sweep import SweepPolicy, abort_idle
from sft_core.ports import Clock, Entropy, UnitOfWorkFactory
from sft_core.values import FileId, UserId
from sft_core.vault.model import DELETION_STATES, File, FileState, Part
from sft_core.vault.use_cases import purge

_OF_DOUBTFUL_SIZE: Final = frozenset({Damage.INCOMPLETE_MANIFEST, Damage.DANGLING_ROW})


@attrs.frozen
class Sample:
    """
    A random sample of the parts to read, drawn by each check: `numerator` of `denominator`.
    """

    numerator: int = 1
    denominator: int = 1

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.numerator <= self.denominator <= 10**9:
            raise InvalidValue("sample", "must be a fraction such as 1/10, at most 1")

    def part_filter(self, entropy: Entropy, counts: CheckCounts) -> PartFilter:
        """
        Return a filter that selects a random sample and counts it as read.
        """
        seed = entropy.random_bytes(16)

        def is_chosen(part: Part) -> bool:
            digest = hashlib.sha256(seed + part.blob_key.encode()).digest()
            is_in_sample = int.from_bytes(digest[:8], "big") % self.denominator < self.numerator
            counts.parts_read += is_in_sample
            return is_in_sample

        return is_chosen


@attrs.define
class CheckCounts:
    """
    The counters of one check; `failures` counts unchecked items by error code.
    """

    files: int = 0
    parts_read: int = 0
    failures: Counter[str] = attrs.field(factory=Counter)


@attrs.define
class _CheckRun:
    """
    One check: its parameters, its counters and its failure budget.

    The owners in `uncertain_owners` have a file whose size differs from the sum of its parts: their quotas are not
    repaired. No quota is repaired unless the check `is_complete`.
    """

    now: datetime
    part_filter: PartFilter | None
    repair: bool
    counts: CheckCounts
    failure_budget: FailureBudget
    uncertain_owners: set[UserId] = attrs.field(factory=set, init=False)
    is_complete: bool = attrs.field(default=True, init=False)

    def skip_unavailable(self, findings: Iterator[Finding], *, files: int = 0) -> Iterator[Finding]:
        """
        Yield one item's findings; count a failure, or raise it once the budget is exhausted.
        """
        try:
            yield from findings
        except Unavailable as error:
            self.is_complete = False
            if self.failure_budget.record_failure():
                raise
            self.counts.failures[error.code] += 1
        else:
            self.failure_budget.record_success()
            self.counts.files += files

    def tolerate_store_outage(self, findings: Iterator[Finding]) -> Iterator[Finding]:
        """
        Yield findings; count a failure of the blob store, which later steps do not need.
        """
        try:
            yield from findings
        except (BlobStoreUnavailable, StoreMismatch) as error:
            self.is_complete = False
            self.counts.failures[error.code] += 1


@attrs.frozen(kw_only=True)
class CheckIntegrity:
    """
    Check everything that is stored, and yield each problem as it is found.

    `verify` is the sample of parts to read and authenticate; None reads none. With `repair`, a drifted quota is
    recomputed, a stuck upload is aborted, an unfinished deletion is completed and an orphan is deleted: each only if it
    is still in the state in which it was found.

    The check may run beside live traffic and does not report work in progress: each finding is checked again, and a
    deletion counts as unfinished only after the time allowed for the slowest upload of a part.
    """

    begin: UnitOfWorkFactory[MaintenanceUnit]
    clock: Clock
    entropy: Entropy
    check_file: CheckFile
    check_records: CheckRecords
    policy: SweepPolicy
    known_keys: frozenset[str] = frozenset()

    def __call__(
        self, *, verify: Sample | None = None, repair: bool = False, counts: CheckCounts | None = None
    ) -> Iterator[Finding]:
        counts = CheckCounts() if counts is None else counts
        now = self.clock.now()
        part_filter = verify.part_filter(self.entropy, counts) if verify is not None else None
        yield from self._keys()
        yield from self._dangling_parts()
        repair = repair and self._may_repair(counts)
        run = _CheckRun(now, part_filter, repair, counts, FailureBudget(self.clock))
        yield from run.tolerate_store_outage(self._files(run))
        yield from run.tolerate_store_outage(self._unreferenced_blobs(run))
        yield from self._quota_drifts(run)
        yield from self.check_records()

    def _may_repair(self, counts: CheckCounts) -> bool:
        try:
            reject_database_copy(self.begin, self.check_file.blobs)
        except StoreMismatch as error:
            counts.failures[error.code] += 1
            return False
        except BlobStoreUnavailable:
            return False
        return True

    def _keys(self) -> Iterator[Finding]:
        with self.begin(read_only=True) as unit:
            stored = unit.inventory.key_ids()
        for subject, ids in sorted(stored.items()):
            for unknown in sorted(ids - self.known_keys):
                detail = f"some are wrapped under key {unknown}, which is not in the ring"
                yield Finding(Damage.UNKNOWN_KEY_ID, subject, detail)

    def _dangling_parts(self) -> Iterator[Finding]:
        for key in paged(
            self.begin, lambda unit, last: unit.inventory.dangling_part_keys(after=last or "", limit=PAGE)
        ):
            yield Finding(Damage.DANGLING_ROW, f"blob {key}", "a manifest names it, but its file does not exist")

    def _files(self, run: _CheckRun) -> Iterator[Finding]:
        for file_id in paged(self.begin, lambda unit, last: unit.inventory.files(after=last, limit=PAGE)):
            yield from run.skip_unavailable(self._file(file_id, run), files=1)

    def _file(self, file_id: FileId, run: _CheckRun) -> Iterator[Finding]:
        try:
            with self.begin(read_only=True) as unit:
                file = unit.files.get(file_id)
        except RowDamaged:
            run.is_complete = False
            yield Finding(Damage.DAMAGED_ROW, f"file {file_id}", "its row cannot be read")
            return
        if file is None:
            return
        if file.state in DELETION_STATES:
            yield from self._unfinished_deletion(file, run)
        elif file.state is FileState.RECEIVING and self._is_idle(file, run.now):
            yield from self._stuck_upload(file, run)
        else:
            findings = list(self.check_file(file, part_filter=run.part_filter))
            if findings and file.state is FileState.RECEIVING:
                # The manifest of an upload may change without a change of `touched_at`, which is updated once a minute.
                again = set(self.check_file(file, part_filter=run.part_filter))
                findings = [finding for finding in findings if finding in again]
            if findings and self._is_unchanged(file):
                if any(finding.damage in _OF_DOUBTFUL_SIZE for finding in findings):
                    run.uncertain_owners.add(file.owner)
                yield from findings

    def _is_idle(self, file: File, now: datetime) -> bool:
        since = self.policy.idle_cutoffs(now)
        with self.begin(read_only=True) as unit:
            is_resumable = unit.uploads.get(file.id) is not None
        return file.touched_at <= (since.resumable if is_resumable else since.non_resumable)

    def _is_unchanged(self, file: File) -> bool:
        with self.begin(read_only=True) as unit:
            return unit.files.get(file.id) == file

    def _unfinished_deletion(self, file: File, run: _CheckRun) -> Iterator[Finding]:
        # The caller that set this state first deletes the parts, one after the other.
        if file.touched_at > run.now - self.policy.non_resumable_idle or not self._is_unchanged(file):
            return
        detail = "its deletion was decided but is not complete"
        finding = Finding(Damage.UNFINISHED_REMOVAL, f"file {file.id}", detail)
        yield from _reported_repair(finding, lambda: run.repair and self._purged(file))

    def _stuck_upload(self, file: File, run: _CheckRun) -> Iterator[Finding]:
        since = self.policy.idle_cutoffs(run.now)
        won = run.repair and abort_idle(self.begin, file.id, since=since, now=run.now)
        if won or self._is_unchanged(file):
            detail = f"no bytes were received since {file.touched_at.isoformat(timespec='seconds')}"
            finding = Finding(Damage.STUCK_UPLOAD, f"file {file.id}", detail)
            yield from _reported_repair(finding, lambda: won and self._purged(file))

    def _purged(self, file: File) -> bool:
        purge(self.begin, self.check_file.blobs, file.id)
        return True

    def _unreferenced_blobs(self, run: _CheckRun) -> Iterator[Finding]:
        before, size, blobs = run.now - self.policy.orphan_grace, self.policy.batch_size, self.check_file.blobs
        for unreferenced in find_unreferenced_blobs(self.begin, blobs, before=before, batch_size=size):
            yield from run.skip_unavailable(self._unreferenced_blob(unreferenced, repair=run.repair))

    def _unreferenced_blob(self, unreferenced: UnreferencedBlob, *, repair: bool) -> Iterator[Finding]:
        blob = unreferenced.blob
        subject = f"blob {blob.key}"
        if unreferenced.part_of is not None:
            file_id, number = unreferenced.part_of
            detail = f"it has the header of part {number} of file {file_id}, whose manifest names another blob"
            yield Finding(Damage.MISPLACED_PART, subject, detail)
            return
        finding = Finding(Damage.ORPHAN_PART, subject, f"no row refers to it: {blob.size} bytes")
        yield from _reported_repair(finding, lambda: repair and delete_orphan(self.begin, self.check_file.blobs, blob))

    def _quota_drifts(self, run: _CheckRun) -> Iterator[Finding]:
        with self.begin(read_only=True) as unit:
            drifts = unit.quota_audit.drifts()
        for drift in drifts:
            is_repaired = run.repair and run.is_complete and drift.owner not in run.uncertain_owners
            if is_repaired:
                with self.begin() as unit:
                    unit.quota_audit.recount(drift.owner)
                    unit.commit()
            detail = f"the quota counts {drift.recorded} bytes, the files reserve {drift.actual}"
            yield Finding(Damage.QUOTA_DRIFT, f"user {drift.owner}", detail, is_repaired)


def _reported_repair(finding: Finding, repair: Callable[[], bool]) -> Iterator[Finding]:
    """
    Yield a finding with the outcome of its repair, or unrepaired before the error.
    """
    try:
        is_repaired = repair()
    except Unavailable:
        yield finding
        raise
    yield attrs.evolve(finding, is_repaired=is_repaired)
