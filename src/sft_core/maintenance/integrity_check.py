"""
The doctor: rows, parts, keys and quotas held against each other, in both directions.

It only looks, unless it is asked to repair; and what it repairs is what can be told from the rest
beyond doubt. Of a sealed file it never touches a blob, nor of its row more than what counts for a quota: a
damaged copy may be the only one.
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
    How many of all parts are read: `some` of `every`, others each time.
    """

    some: int = 1
    every: int = 1

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.some <= self.every <= 10**9:
            raise InvalidValue("sample", "must be a fraction such as 1/10, at most 1")

    def chosen(self, entropy: Entropy) -> Chosen:
        """
        A choice by lot.
        """
        lot = entropy.draw(16)

        def is_chosen(part: Part) -> bool:
            digest = hashlib.sha256(lot + part.blob_key.encode()).digest()
            return int.from_bytes(digest[:8], "big") % self.every < self.some

        return is_chosen


@attrs.define
class Seen:
    """
    How much has been looked at; `failures` counts by code what could not be looked at just now.
    """

    files: int = 0
    parts_read: int = 0
    failures: Counter[str] = attrs.field(factory=Counter)


@attrs.define
class _Walk:
    """
    One look at everything: what has been seen, and how long to go on while nothing goes well.

    It is `doubtful` what the files of some owners hold, because the size of one is not that of its
    parts; and what those of anybody do, unless the walk `saw_everything`.
    """

    seen: Seen
    patience: Patience
    doubtful: set[UserId] = attrs.field(factory=set, init=False)
    saw_everything: bool = attrs.field(default=True, init=False)

    def passing_over(self, findings: Iterator[Finding], *, files: int = 0) -> Iterator[Finding]:
        """
        What is found of one thing; a failure is noted and passed over, unless nothing goes any more.
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
        What is found as long as the store answers; that it did not is noted, and the rest needs none.
        """
        try:
            yield from findings
        except (BlobStoreUnavailable, StoreOfAnother) as error:
            self.saw_everything = False
            self.seen.failures[error.code] += 1


@attrs.frozen(kw_only=True)
class Examine:
    """
    Look at everything that is stored, and tell what is wrong with it as it is found.

    `verify` says of how many parts the content is read and authenticated; None reads none. With
    `repair` a sum is counted anew, an upload that is stuck is given up, a removal is finished and a
    blob of no row is deleted: each only if it is still as it was found. Beside people who work
    with the vault it finds nothing that is only under way: what looks wrong is looked at again, and
    a removal has as long as the slowest upload of a part.
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
        Whether the database is not an old copy of the store's own, as far as the marks tell.
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
                yield Finding(damage=Damage.UNKNOWN_KEY_ID, subject=subject, detail=f"some are wrapped under {unknown}")

    def _stray_parts(self) -> Iterator[Finding]:
        after = ""
        while True:
            with self.begin(read_only=True) as unit:
                page = unit.inventory.stray_parts(after=after, limit=PAGE)
            for key in page:
                detail = "a manifest names it, but its file is not there"
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
                # The manifest of an upload changes while the row says that it has not moved.
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
        Whether the file is as it was: then what has been found of it was not only on its way.
        """
        with self.begin(read_only=True) as unit:
            return unit.files.get(file.id) == file

    def _condemned(self, file: File, now: datetime, *, repair: bool) -> Iterator[Finding]:
        # Who decided it removes the parts first, one after the other.
        if file.touched_at > now - self.policy.single_idle or not self._is_still(file):
            return
        detail = "its end is decided, but it has not been removed yet"
        finding = Finding(damage=Damage.UNFINISHED_REMOVAL, subject=f"file {file.id}", detail=detail)
        yield from _mended(finding, lambda: repair and self._purged(file))

    def _stuck(self, file: File, now: datetime, *, repair: bool) -> Iterator[Finding]:
        won = repair and give_up(self.begin, file.id, since=self.policy.idle_since(now), now=now)
        if won or self._is_still(file):
            detail = f"nothing has come of it since {file.touched_at.isoformat(timespec='seconds')}"
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
            detail = f"it begins as part {number} of file {file_id} does, whose manifest names another blob"
            yield Finding(damage=Damage.MISPLACED_PART, subject=subject, detail=detail)
            return
        detail = f"no row knows it: {blob.size} bytes"
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
            detail = f"{drift.counted} bytes are counted, its files hold {drift.due}"
            drifted = Finding(damage=Damage.QUOTA_DRIFT, subject=f"user {drift.owner}", detail=detail)
            yield attrs.evolve(drifted, is_repaired=is_repaired)


def _mended(finding: Finding, mend: Callable[[], bool]) -> Iterator[Finding]:
    """
    What has been found, once it is known whether it is mended; it is told also if that fails.
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
