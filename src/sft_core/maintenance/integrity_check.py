"""
The integrity check: compare rows, parts, keys and quotas with one another, in both directions.

It is read-only unless a repair is requested, and a repair changes only what the other data
determine beyond doubt. Of a sealed file it changes no blob, and of its row only the quota reservation:
a damaged copy may be the only one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

import attrs

from sft_core.errors import BlobStoreUnavailable, InvalidValue, RowDamaged, StoreOfAnother, Unavailable
from sft_core.maintenance.check_files import PAGE, Chosen, ExamineFile, nothing
from sft_core.maintenance.check_records import ExamineRecords
from sft_core.maintenance.failure_budget import Patience
from sft_core.maintenance.findings import Damage, Finding
from sft_core.maintenance.orphans import Stray, find_strays, remove_orphan
from sft_core.maintenance.ports import UpkeepUnit
from sft_core.maintenance.store_identity import require_no_copy
from sft_core.maintenance.sweep import SweepPolicy, give_up
from sft_core.ports import Begin, Clock, Entropy
from sft_core.values import FileId, UserId
from sft_core.vault.model import CONDEMNED, File, FileState, Part
from sft_core.vault.use_cases import purge

_OF_DOUBTFUL_SIZE: Final = frozenset({Damage.INCOMPLETE_MANIFEST, Damage.DANGLING_ROW})

NOBODY: Final[frozenset[str]] = frozenset()


@attrs.frozen
class Sample:
    """
    A random sample of the parts to read: `numerator` of `denominator`.

    Each check draws another one.
    """

    some: int = 1
    every: int = 1

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.some <= self.every <= 10**9:
            raise InvalidValue("sample", "must be a fraction such as 1/10, at most 1")

    def chosen(self, entropy: Entropy) -> Chosen:
        """
        Return a filter that selects a random sample of the parts.
        """
        lot = entropy.draw(16)

        def is_chosen(part: Part) -> bool:
            digest = hashlib.sha256(lot + part.blob_key.encode()).digest()
            return int.from_bytes(digest[:8], "big") % self.every < self.some

        return is_chosen


@attrs.define
class Seen:
    """
    The counters of one check.

    `failures` counts by error code the items that could not be checked.
    """

    files: int = 0
    parts_read: int = 0
    failures: Counter[str] = attrs.field(factory=Counter)


@attrs.define
class _Walk:
    """
    The state of one check: its counters and its failure budget.

    The owners in `doubtful` have a file whose size differs from the sum of its parts: their quotas are
    not repaired. No quota is repaired unless the check `saw_everything`.
    """

    seen: Seen
    patience: Patience
    doubtful: set[UserId] = attrs.field(factory=set, init=False)
    saw_everything: bool = attrs.field(default=True, init=False)

    def passing_over(self, findings: Iterator[Finding], *, files: int = 0) -> Iterator[Finding]:
        """
        Yield the findings about one item; count a failure and continue.

        Raises the failure if it exhausts the budget.
        """
        try:
            yield from findings
        except Unavailable as error:
            self.saw_everything = False
            if self.patience.is_over():
                raise
            self.seen.failures[error.code] += 1
        else:
            self.patience.restore()
            self.seen.files += files

    def without_the_store(self, findings: Iterator[Finding]) -> Iterator[Finding]:
        """
        Yield findings until the blob store fails, and count that failure.

        The later steps do not need the store.
        """
        try:
            yield from findings
        except (BlobStoreUnavailable, StoreOfAnother) as error:
            self.saw_everything = False
            self.seen.failures[error.code] += 1


@attrs.frozen(kw_only=True)
class Examine:
    """
    Check everything that is stored, and yield each problem as it is found.

    `verify` is the sample of parts to read and authenticate; None reads none. With `repair`, a drifted
    quota is recomputed, a stuck upload is aborted, an unfinished deletion is completed and an orphan is
    deleted: each only if it is still in the state in which it was found.

    The check may run beside live traffic and does not report work in progress: each finding is checked
    again, and a deletion counts as unfinished only after the time allowed for the slowest upload of a part.
    """

    begin: Begin[UpkeepUnit]
    clock: Clock
    entropy: Entropy
    examine_file: ExamineFile
    examine_records: ExamineRecords
    policy: SweepPolicy
    known_keys: frozenset[str] = NOBODY

    def __call__(
        self, *, verify: Sample | None = None, repair: bool = False, seen: Seen | None = None
    ) -> Iterator[Finding]:
        seen = Seen() if seen is None else seen
        now = self.clock.now()
        chosen = _counted(verify.chosen(self.entropy), seen) if verify is not None else nothing
        yield from self._keys()
        yield from self._stray_parts()
        walk = _Walk(seen, Patience(self.clock))
        repair = repair and self._is_no_copy(seen)
        yield from walk.without_the_store(self._files(now, chosen, walk, repair=repair))
        yield from walk.without_the_store(self._strays(now, walk, repair=repair))
        yield from self._drifts(walk, repair=repair)
        yield from self.examine_records()

    def _is_no_copy(self, seen: Seen) -> bool:
        """
        Return whether the database cannot be an old copy of the store's own.

        It may be one if only the store has an id.
        """
        try:
            require_no_copy(self.begin, self.examine_file.blobs)
        except StoreOfAnother as error:
            seen.failures[error.code] += 1
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
                yield Finding(damage=Damage.UNKNOWN_KEY_ID, subject=subject, detail=detail)

    def _stray_parts(self) -> Iterator[Finding]:
        after = ""
        while True:
            with self.begin(read_only=True) as unit:
                page = unit.inventory.stray_parts(after=after, limit=PAGE)
            for key in page:
                detail = "a manifest names it, but its file does not exist"
                yield Finding(damage=Damage.DANGLING_ROW, subject=f"blob {key}", detail=detail)
            if not page:
                return
            after = page[-1]

    def _files(self, now: datetime, chosen: Chosen, walk: _Walk, *, repair: bool) -> Iterator[Finding]:
        after: FileId | None = None
        while True:
            with self.begin(read_only=True) as unit:
                page = unit.inventory.files(after=after, limit=PAGE)
            for file_id in page:
                yield from walk.passing_over(self._file(file_id, now, chosen, walk, repair=repair), files=1)
            if not page:
                return
            after = page[-1]

    def _file(self, file_id: FileId, now: datetime, chosen: Chosen, walk: _Walk, *, repair: bool) -> Iterator[Finding]:
        try:
            with self.begin(read_only=True) as unit:
                file = unit.files.get(file_id)
        except RowDamaged:
            walk.saw_everything = False
            yield Finding(damage=Damage.DAMAGED_ROW, subject=f"file {file_id}", detail="its row cannot be read")
            return
        if file is None:
            return
        if file.state in CONDEMNED:
            yield from self._condemned(file, now, repair=repair)
        elif file.state is FileState.RECEIVING and self._is_idle(file, now):
            yield from self._stuck(file, now, repair=repair)
        else:
            findings = list(self.examine_file(file, chosen=chosen))
            if findings and file.state is FileState.RECEIVING:
                # The manifest of an upload may change without a change of `touched_at`, which is updated once a minute.
                again = set(self.examine_file(file, chosen=chosen))
                findings = [finding for finding in findings if finding in again]
            if findings and self._is_still(file):
                if any(finding.damage in _OF_DOUBTFUL_SIZE for finding in findings):
                    walk.doubtful.add(file.owner)
                yield from findings

    def _is_idle(self, file: File, now: datetime) -> bool:
        since = self.policy.idle_since(now)
        with self.begin(read_only=True) as unit:
            is_resumable = unit.uploads.get(file.id) is not None
        return file.touched_at <= (since.resumable if is_resumable else since.single)

    def _is_still(self, file: File) -> bool:
        """
        Return whether the file is unchanged since it was read.

        Otherwise a finding about it may have been work in progress.
        """
        with self.begin(read_only=True) as unit:
            return unit.files.get(file.id) == file

    def _condemned(self, file: File, now: datetime, *, repair: bool) -> Iterator[Finding]:
        # The caller that set this state first deletes the parts, one after the other.
        if file.touched_at > now - self.policy.single_idle or not self._is_still(file):
            return
        detail = "its deletion was decided but is not complete"
        finding = Finding(damage=Damage.UNFINISHED_REMOVAL, subject=f"file {file.id}", detail=detail)
        yield from _mended(finding, lambda: repair and self._purged(file))

    def _stuck(self, file: File, now: datetime, *, repair: bool) -> Iterator[Finding]:
        won = repair and give_up(self.begin, file.id, since=self.policy.idle_since(now), now=now)
        if won or self._is_still(file):
            detail = f"no bytes were received since {file.touched_at.isoformat(timespec='seconds')}"
            finding = Finding(damage=Damage.STUCK_UPLOAD, subject=f"file {file.id}", detail=detail)
            yield from _mended(finding, lambda: won and self._purged(file))

    def _purged(self, file: File) -> bool:
        purge(self.begin, self.examine_file.blobs, file.id)
        return True

    def _strays(self, now: datetime, walk: _Walk, *, repair: bool) -> Iterator[Finding]:
        before, together = now - self.policy.grace, self.policy.batch
        for stray in find_strays(self.begin, self.examine_file.blobs, before=before, together=together):
            yield from walk.passing_over(self._stray(stray, repair=repair))

    def _stray(self, stray: Stray, *, repair: bool) -> Iterator[Finding]:
        blob = stray.blob
        subject = f"blob {blob.key}"
        if stray.part_of is not None:
            file_id, number = stray.part_of
            detail = f"it has the header of part {number} of file {file_id}, whose manifest names another blob"
            yield Finding(damage=Damage.MISPLACED_PART, subject=subject, detail=detail)
            return
        detail = f"no row refers to it: {blob.size} bytes"
        finding = Finding(damage=Damage.ORPHAN_PART, subject=subject, detail=detail)
        yield from _mended(finding, lambda: repair and remove_orphan(self.begin, self.examine_file.blobs, blob))

    def _drifts(self, walk: _Walk, *, repair: bool) -> Iterator[Finding]:
        with self.begin(read_only=True) as unit:
            drifts = unit.ledger.drifts()
        for drift in drifts:
            is_repaired = repair and walk.saw_everything and drift.owner not in walk.doubtful
            if is_repaired:
                with self.begin() as unit:
                    unit.ledger.recount(drift.owner)
                    unit.commit()
            detail = f"the quota counts {drift.counted} bytes, the files reserve {drift.due}"
            drifted = Finding(damage=Damage.QUOTA_DRIFT, subject=f"user {drift.owner}", detail=detail)
            yield attrs.evolve(drifted, is_repaired=is_repaired)


def _mended(finding: Finding, mend: Callable[[], bool]) -> Iterator[Finding]:
    """
    Yield a finding after its repair, with the outcome.

    If the repair fails, the finding is yielded as it is before the error is raised.
    """
    try:
        is_repaired = mend()
    except Unavailable:
        yield finding
        raise
    yield attrs.evolve(finding, is_repaired=is_repaired)


def _counted(chosen: Callable[[Part], bool], seen: Seen) -> Chosen:
    def is_chosen(part: Part) -> bool:
        is_it = chosen(part)
        seen.parts_read += is_it
        return is_it

    return is_chosen
