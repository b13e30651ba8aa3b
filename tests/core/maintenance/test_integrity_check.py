"""
The integrity check on memory: concurrent changes, repairs, and a store that fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count

import attrs
import pytest

from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.testkit.contracts.examples import a_file, a_link, a_user
from sft_core.application import Application
from sft_core.errors import BlobStoreUnavailable
from sft_core.maintenance.failure_budget import MIN_FAILURES
from sft_core.maintenance.findings import Damage
from sft_core.maintenance.integrity_check import CheckCounts, CheckIntegrity, Sample
from sft_core.maintenance.paging import PAGE
from sft_core.maintenance.ports import MaintenanceUnit
from sft_core.sharing.model import ShareLink
from sft_core.users.model import User
from sft_core.values import FileName
from sft_core.vault.model import File, FileState, blob_prefix
from sft_core.vault.ports import BlobInfo, BlobStore, IdentifiedBlobStore
from sft_core.vault.use_cases import UploadSession
from support.app.library import FaultyBlobs, HookedKeyRing

NAME = FileName.parse("notes.txt")


def stored(sft: Application, owner: User) -> File:
    return sft.vault.store_file(owner=owner.id, name=NAME, content=[b"content"])


def upload_with_part(sft: Application, owner: User) -> UploadSession:
    upload = sft.vault.begin_upload(owner=owner.id, name=NAME)
    sft.vault.store_part(upload, b"half")
    return upload


def recorded_upload(sft: Application, owner: User) -> UploadSession:
    """
    An upload whose manifest contains its part.
    """
    upload = upload_with_part(sft, owner)
    with sft.vault.find_file.begin() as unit:
        unit.manifests.append(upload.file.id, upload.pending)
        unit.commit()
    return upload


def check_on(sft: Application, blobs: IdentifiedBlobStore) -> CheckIntegrity:
    return attrs.evolve(
        sft.maintenance.check_integrity,
        check_file=attrs.evolve(sft.maintenance.check_integrity.check_file, blobs=blobs),
    )


@attrs.frozen
class Meanwhile(FaultyBlobs):
    """
    A store that runs a callback before each listing of a file's blobs.
    """

    happens: Callable[[], object] = attrs.field(kw_only=True)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        if prefix:
            self.happens()
        return super().list(prefix)


def test_file_deleted_during_the_check_is_not_missing(sft: Application, maya: User) -> None:
    """A file deleted during the check has no missing parts."""
    file = stored(sft, maya)
    deleted: list[File] = []

    def delete() -> None:
        if not deleted:
            deleted.append(file)
            sft.vault.delete_file(owner=maya.id, file_id=file.id)

    assert list(check_on(sft, Meanwhile(sft.maintenance.sweep.blobs, {}, happens=delete))()) == []
    assert deleted


def test_upload_aborted_during_the_check_is_not_missing(sft: Application, maya: User) -> None:
    """An upload aborted during the check has no missing parts, even if its manifest already lists some."""
    upload = recorded_upload(sft, maya)
    check_integrity = check_on(
        sft, Meanwhile(sft.maintenance.sweep.blobs, {}, happens=lambda: sft.vault.abort_upload(upload))
    )
    assert list(check_integrity()) == []


def test_part_replaced_during_the_check_is_not_missing(sft: Application, maya: User) -> None:
    """An upload's row is updated once a minute only, so its manifest is read again before a part counts as missing."""
    upload = recorded_upload(sft, maya)
    (old,) = upload.pending
    begin = sft.maintenance.check_integrity.begin
    assert isinstance(begin, MemoryDatabase)
    manifests = begin._committed.parts

    def replace() -> None:
        if manifests[upload.file.id] == (old,):
            new = attrs.evolve(old, blob_key=upload.file.blob_key(0, bytes(8)))
            sft.maintenance.sweep.blobs.delete(old.blob_key)
            sft.maintenance.sweep.blobs.put(new.blob_key, [bytes(new.stored_size)], size=new.stored_size)
            manifests[upload.file.id] = (new,)

    assert list(check_on(sft, Meanwhile(sft.maintenance.sweep.blobs, {}, happens=replace))()) == []
    assert [part.blob_key for part in manifests[upload.file.id]] != [old.blob_key]


def test_lost_part_of_an_upload_is_missing(sft: Application, maya: User) -> None:
    """Every part in a manifest must exist, also before the seal."""
    upload = recorded_upload(sft, maya)
    sft.maintenance.sweep.blobs.delete(upload.pending[0].blob_key)
    assert [finding.damage for finding in sft.maintenance.check_integrity()] == [Damage.MISSING_PART]


def test_upload_that_continues_during_the_check_is_not_stuck(
    sft: Application, maya: User, clock: SettableClock
) -> None:
    """An upload that received a byte after it was found idle is neither aborted nor reported."""
    upload = upload_with_part(sft, maya)
    clock.advance(hours=24)
    begin, reads = sft.maintenance.check_integrity.begin, count()

    @contextmanager
    def meanwhile(*, read_only: bool = False) -> Iterator[MaintenanceUnit]:
        with begin(read_only=read_only) as unit:
            yield unit
        # Keys and stray parts are read first, then the page of files on which the upload is found.
        if read_only and next(reads) == 2:
            sft.vault.store_part(upload, b" of it")

    check_integrity = attrs.evolve(sft.maintenance.check_integrity, begin=meanwhile)
    assert [finding.damage for finding in sft.maintenance.check_integrity()] == [Damage.STUCK_UPLOAD]
    assert list(check_integrity(repair=True)) == []
    assert sft.sharing.seal_upload(upload).file.size == len(b"half of it")


def dangling(sft: Application, number: int) -> list[ShareLink]:
    """
    Links without owner or file, like rows left behind.
    """
    links = [a_link(a_file(a_user())) for _ in range(number)]
    with sft.sharing.redeem_share_link.begin() as unit:
        for link in links:
            unit.links.add(attrs.evolve(link, token=None))
        unit.commit()
    return links


def test_dangling_rows_on_any_page_are_reported(sft: Application, maya: User) -> None:
    """Every row reports each missing reference, however many sound rows lie between."""
    file = stored(sft, maya)
    for _ in range(PAGE):
        sft.sharing.issue_share_link(owner=maya.id, file_id=file.id)
    links = dangling(sft, PAGE)
    found = list(sft.maintenance.check_integrity())
    assert {finding.damage for finding in found} == {Damage.DANGLING_ROW}
    details = ("the account that it belongs to does not exist", "the file that it belongs to does not exist")
    ids = sorted(link.id for link in links)
    reported = [(finding.subject, finding.detail) for finding in found]
    assert reported == [(f"link {row}", detail) for row in ids for detail in details]


def test_row_deleted_before_the_second_read_is_no_finding(sft: Application) -> None:
    """A row that looks wrong is read a second time, and a row deleted meanwhile is not reported."""
    dangling(sft, 3)
    begin = sft.maintenance.check_integrity.check_records.begin
    assert isinstance(begin, MemoryDatabase)

    @contextmanager
    def meanwhile(*, read_only: bool = False) -> Iterator[MaintenanceUnit]:
        with begin(read_only=read_only) as unit:
            yield unit
        begin._committed.links.clear()

    assert list(attrs.evolve(sft.maintenance.check_integrity.check_records, begin=meanwhile)()) == []
    dangling(sft, 3)
    assert len(list(sft.maintenance.check_integrity())) == 6


def test_secret_replaced_during_the_check_is_no_finding(sft: Application, maya: User) -> None:
    """A seed that cannot be unwrapped is reported with its user, until the user sets up a new one."""
    sft.users.set_up_totp(user=maya)
    with sft.users.sign_in.begin() as unit:
        user = unit.users.get(maya.id)
        assert user is not None
        assert user.totp is not None
        spoilt = attrs.evolve(user.totp, seed=attrs.evolve(user.totp.seed, ciphertext=bytes(40)))
        user = unit.users.save(attrs.evolve(user, totp=spoilt))
        unit.commit()
    (finding,) = sft.maintenance.check_integrity(repair=True)
    assert (finding.damage, finding.subject) == (Damage.WRONG_WRAPPED_SECRET, f"user {maya.id}")
    assert not finding.is_repaired
    check_integrity, looks = sft.maintenance.check_integrity.check_records, count()

    def set_up_again() -> None:
        if next(looks) == 0:
            sft.users.set_up_totp(user=user)

    assert list(attrs.evolve(check_integrity, keyring=HookedKeyRing(check_integrity.keyring, set_up_again))()) == []
    assert list(sft.maintenance.check_integrity()) == []


def test_failure_is_counted_and_the_check_continues(sft: Application, maya: User) -> None:
    """The other files are checked, and the failure is counted."""
    for _ in range(4):
        stored(sft, maya)
    seen = CheckCounts()
    assert (
        list(
            check_on(sft, FaultyBlobs(sft.maintenance.sweep.blobs, {("list", 1): BlobStoreUnavailable()}))(counts=seen)
        )
        == []
    )
    assert (seen.files, seen.failures) == (3, Counter({"blob-store-unavailable": 1}))


def test_failed_repair_is_reported_and_the_check_continues(sft: Application, maya: User, clock: SettableClock) -> None:
    """Failed deletions of a removal, an upload and a part are reported, and everything after them is repaired."""
    deleting, rowless = stored(sft, maya), upload_with_part(sft, maya)
    upload_with_part(sft, maya)
    stored(sft, maya)
    with sft.vault.find_file.begin() as unit:
        unit.files.replace(deleting.deleting(clock.now()), expected=FileState.SEALED)
        unit.files.replace(rowless.file.aborted(clock.now()), expected=FileState.RECEIVING)
        unit.quotas.release(rowless.file.id)
        unit.files.remove(rowless.file.id)
        unit.commit()
    clock.advance(hours=48)
    removal, upload, part = Damage.UNFINISHED_REMOVAL, Damage.STUCK_UPLOAD, Damage.ORPHAN_PART
    seen, away = CheckCounts(), {("delete", number): BlobStoreUnavailable() for number in range(3)}
    found = check_on(sft, FaultyBlobs(sft.maintenance.sweep.blobs, away))(repair=True, counts=seen)
    assert [(one.damage, one.is_repaired) for one in found] == [(removal, False), (upload, False), (part, False)]
    assert (seen.files, seen.failures) == (1, Counter({"blob-store-unavailable": 3}))
    clock.advance(hours=2)
    again = sft.maintenance.check_integrity(repair=True)
    assert [(one.damage, one.is_repaired) for one in again] == [(removal, True), (removal, True), (part, True)]
    assert list(sft.maintenance.check_integrity()) == []


def test_old_copy_of_a_database_repairs_nothing(sft: Application, maya: User, clock: SettableClock) -> None:
    """The store's own database may hold a file where this copy sees an idle upload: reported, not repaired."""
    upload = upload_with_part(sft, maya)
    clock.advance(hours=48)
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    begin._committed.store_id = None
    seen = CheckCounts()
    found = [(one.damage, one.is_repaired) for one in sft.maintenance.check_integrity(repair=True, counts=seen)]
    assert found == [(Damage.STUCK_UPLOAD, False)]
    assert seen.failures["store-of-another"]
    assert list(sft.maintenance.sweep.blobs.list(blob_prefix(upload.file.id)))


def test_quick_failures_do_not_stop_the_check(sft: Application, maya: User) -> None:
    """However many quick failures in a row, the files after them are checked."""
    for _ in range(9):
        stored(sft, maya)
    seen = CheckCounts()
    broken = FaultyBlobs(sft.maintenance.sweep.blobs, {("list", number): BlobStoreUnavailable() for number in range(8)})
    assert list(check_on(sft, broken)(counts=seen)) == []
    assert (seen.files, seen.failures) == (1, Counter({"blob-store-unavailable": 8}))


@pytest.mark.parametrize("is_upload", [True, False])
def test_running_deletion_is_not_reported(
    sft: Application, maya: User, clock: SettableClock, *, is_upload: bool
) -> None:
    """A deletion has as long as the slowest part upload; after that it is unfinished, and is completed."""
    away = FaultyBlobs(sft.maintenance.sweep.blobs, {("list", 0): BlobStoreUnavailable()})
    upload, file = upload_with_part(sft, maya), stored(sft, maya)
    clock.advance(minutes=5)
    if is_upload:
        with pytest.raises(BlobStoreUnavailable):
            attrs.evolve(sft.vault.abort_upload, blobs=away)(upload)
    else:
        attrs.evolve(sft.vault.delete_file, blobs=away)(owner=maya.id, file_id=file.id)
        sft.vault.abort_upload(upload)
    clock.advance(seconds=(sft.maintenance.sweep.policy.non_resumable_idle).total_seconds() - 1)
    assert list(sft.maintenance.check_integrity(repair=True)) == []
    clock.advance(seconds=1)
    assert [(found.damage, found.is_repaired) for found in sft.maintenance.check_integrity(repair=True)] == [
        (Damage.UNFINISHED_REMOVAL, True)
    ]


def test_unavailable_store_stops_the_check(sft: Application, maya: User, clock: SettableClock) -> None:
    """Three slow failures in a row stop the step; checks that do not need the store still run."""
    for _ in range(9):
        stored(sft, maya)
    wait = partial(clock.advance, seconds=5)
    away = FaultyBlobs(
        sft.maintenance.sweep.blobs, {("list", number): BlobStoreUnavailable() for number in range(9)}, wait=wait
    )
    begin, seen = sft.vault.find_file.begin, CheckCounts()
    assert isinstance(begin, MemoryDatabase)
    begin._committed.usages[maya.id] += 1
    found = check_on(sft, away)(repair=True, counts=seen)
    assert [(one.damage, one.is_repaired) for one in found] == [(Damage.QUOTA_DRIFT, False)]
    assert seen.failures == Counter({"blob-store-unavailable": MIN_FAILURES})
    assert away.calls["list"] == MIN_FAILURES


def test_findings_are_yielded_as_they_are_found(sft: Application, maya: User) -> None:
    """Findings are yielded one by one, so the first arrives before the check of a large vault ends."""
    files = [stored(sft, maya) for _ in range(2)]
    blobs: BlobStore = sft.maintenance.sweep.blobs
    for blob in list(blobs.list()):
        blobs.delete(blob.key)
    findings = sft.maintenance.check_integrity(verify=Sample())
    first = next(findings)
    assert (first.damage, first.subject) == (Damage.MISSING_PART, f"file {files[0].id} part 0")
    assert [finding.damage for finding in findings] == [Damage.MISSING_PART]
