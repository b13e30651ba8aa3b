"""
The doctor on memory: what it makes of a vault that people work with, and of a store that is away.
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
from sft_core.maintenance.check_files import PAGE
from sft_core.maintenance.failure_budget import MIN_FAILURES
from sft_core.maintenance.findings import Damage
from sft_core.maintenance.integrity_check import CheckCounts, CheckIntegrity, Sample
from sft_core.maintenance.ports import MaintenanceUnit
from sft_core.sharing.model import ShareLink
from sft_core.users.model import User
from sft_core.values import FileName
from sft_core.vault.model import File, FileState
from sft_core.vault.ports import BlobInfo, BlobStore, IdentifiedBlobStore
from sft_core.vault.use_cases import UploadSession
from support.app.library import FaultyBlobs, HookedKeyRing

NAME = FileName.parse("notes.txt")


def stored(sft: Application, owner: User) -> File:
    return sft.vault.store_file(owner=owner.id, name=NAME, content=[b"content"])


def begun(sft: Application, owner: User) -> UploadSession:
    upload = sft.vault.begin_upload(owner=owner.id, name=NAME)
    sft.vault.store_part(upload, b"half")
    return upload


def recorded(sft: Application, owner: User) -> UploadSession:
    """
    An upload whose manifest knows its part.
    """
    upload = begun(sft, owner)
    with sft.vault.find_file.begin() as unit:
        unit.manifests.append(upload.file.id, upload.pending)
        unit.commit()
    return upload


def on(sft: Application, blobs: IdentifiedBlobStore) -> CheckIntegrity:
    return attrs.evolve(
        sft.maintenance.check_integrity,
        check_file=attrs.evolve(sft.maintenance.check_integrity.check_file, blobs=blobs),
    )


@attrs.frozen
class Meanwhile(FaultyBlobs):
    """
    A store that lets something happen before each listing of a file's blobs.
    """

    happens: Callable[[], object] = attrs.field(kw_only=True)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        if prefix:
            self.happens()
        return super().list(prefix)


def test_what_is_deleted_meanwhile_is_not_missing(sft: Application, maya: User) -> None:
    """Its parts are gone because it is: nothing is wrong with that."""
    file = stored(sft, maya)
    gone: list[File] = []

    def delete() -> None:
        if not gone:
            gone.append(file)
            sft.vault.delete_file(owner=maya.id, file_id=file.id)

    assert list(on(sft, Meanwhile(sft.maintenance.sweep.blobs, {}, happens=delete))()) == []
    assert gone


def test_what_is_aborted_meanwhile_is_not_missing(sft: Application, maya: User) -> None:
    """Also an upload of which the manifest knew some parts already."""
    upload = recorded(sft, maya)
    check_integrity = on(
        sft, Meanwhile(sft.maintenance.sweep.blobs, {}, happens=lambda: sft.vault.abort_upload(upload))
    )
    assert list(check_integrity()) == []


def test_a_part_that_another_one_replaces_meanwhile_is_not_missing(sft: Application, maya: User) -> None:
    """The row of an upload that moves says so to the minute only, so its manifest is read again."""
    upload = recorded(sft, maya)
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

    assert list(on(sft, Meanwhile(sft.maintenance.sweep.blobs, {}, happens=replace))()) == []
    assert [part.blob_key for part in manifests[upload.file.id]] != [old.blob_key]


def test_a_part_that_an_upload_has_lost_is_missing(sft: Application, maya: User) -> None:
    """What its manifest names has to be there, also before it is sealed."""
    upload = recorded(sft, maya)
    sft.maintenance.sweep.blobs.delete(upload.pending[0].blob_key)
    assert [finding.damage for finding in sft.maintenance.check_integrity()] == [Damage.MISSING_PART]


def test_who_goes_on_at_the_last_moment_is_not_stuck(sft: Application, maya: User, clock: SettableClock) -> None:
    """What has got a byte since it was looked at is neither given up nor told."""
    upload = begun(sft, maya)
    clock.advance(hours=24)
    begin, reads = sft.maintenance.check_integrity.begin, count()

    @contextmanager
    def meanwhile(*, read_only: bool = False) -> Iterator[MaintenanceUnit]:
        with begin(read_only=read_only) as unit:
            yield unit
        # Keys and stray parts are asked for first, then the page of files on which it is found.
        if read_only and next(reads) == 2:
            sft.vault.store_part(upload, b" of it")

    check_integrity = attrs.evolve(sft.maintenance.check_integrity, begin=meanwhile)
    assert [finding.damage for finding in sft.maintenance.check_integrity()] == [Damage.STUCK_UPLOAD]
    assert list(check_integrity(repair=True)) == []
    assert sft.sharing.seal_upload(upload).file.size == len(b"half of it")


def dangling(sft: Application, number: int) -> list[ShareLink]:
    """
    Links of nobody to nothing, as rows may be left behind.
    """
    links = [a_link(a_file(a_user())) for _ in range(number)]
    with sft.sharing.redeem_share_link.begin() as unit:
        for link in links:
            unit.links.add(attrs.evolve(link, token=None))
        unit.commit()
    return links


def test_rows_that_point_to_nothing_are_told_from_any_page(sft: Application, maya: User) -> None:
    """Each with everything that it misses, however many sound rows are between them."""
    file = stored(sft, maya)
    for _ in range(PAGE):
        sft.sharing.issue_share_link(owner=maya.id, file_id=file.id)
    links = dangling(sft, PAGE)
    found = list(sft.maintenance.check_integrity())
    assert {finding.damage for finding in found} == {Damage.DANGLING_ROW}
    details = ("the account that it belongs to does not exist", "the file that it belongs to does not exist")
    ids = sorted(link.id for link in links)
    told = [(finding.subject, finding.detail) for finding in found]
    assert told == [(f"link {row}", detail) for row in ids for detail in details]


def test_a_row_that_is_gone_at_the_second_look_is_no_finding(sft: Application) -> None:
    """What looks wrong is looked at again; what was wrong and is over is nobody's trouble."""
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


def test_a_secret_that_has_been_made_anew_is_no_finding(sft: Application, maya: User) -> None:
    """A seed that does not open is told with its user, until they have another one."""
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

    def set_up_anew() -> None:
        if next(looks) == 0:
            sft.users.set_up_totp(user=user)

    assert list(attrs.evolve(check_integrity, keyring=HookedKeyRing(check_integrity.keyring, set_up_anew))()) == []
    assert list(sft.maintenance.check_integrity()) == []


def test_a_failure_is_passed_over_and_told(sft: Application, maya: User) -> None:
    """The other files are looked at all the same."""
    for _ in range(4):
        stored(sft, maya)
    seen = CheckCounts()
    assert (
        list(on(sft, FaultyBlobs(sft.maintenance.sweep.blobs, {("list", 1): BlobStoreUnavailable()}))(counts=seen))
        == []
    )
    assert (seen.files, seen.failures) == (3, Counter({"blob-store-unavailable": 1}))


def test_what_cannot_be_repaired_is_told_and_passed_over(sft: Application, maya: User, clock: SettableClock) -> None:
    """A removal, an upload and a part whose deletion fails; what comes after them is repaired all the same."""
    removed, nobodys = stored(sft, maya), begun(sft, maya)
    begun(sft, maya)
    stored(sft, maya)
    with sft.vault.find_file.begin() as unit:
        unit.files.replace(removed.deleting(clock.now()), expected=FileState.SEALED)
        unit.files.replace(nobodys.file.aborted(clock.now()), expected=FileState.RECEIVING)
        unit.quotas.release(nobodys.file.id)
        unit.files.remove(nobodys.file.id)
        unit.commit()
    clock.advance(hours=48)
    removal, upload, part = Damage.UNFINISHED_REMOVAL, Damage.STUCK_UPLOAD, Damage.ORPHAN_PART
    seen, away = CheckCounts(), {("delete", number): BlobStoreUnavailable() for number in range(3)}
    found = on(sft, FaultyBlobs(sft.maintenance.sweep.blobs, away))(repair=True, counts=seen)
    assert [(one.damage, one.is_repaired) for one in found] == [(removal, False), (upload, False), (part, False)]
    assert (seen.files, seen.failures) == (1, Counter({"blob-store-unavailable": 3}))
    clock.advance(hours=2)
    again = sft.maintenance.check_integrity(repair=True)
    assert [(one.damage, one.is_repaired) for one in again] == [(removal, True), (removal, True), (part, True)]
    assert list(sft.maintenance.check_integrity()) == []


def test_an_old_copy_of_a_database_is_not_repaired_by(sft: Application, maya: User, clock: SettableClock) -> None:
    """What it takes for stuck, the database that the store belongs to may have a file of: it is told and left."""
    upload = begun(sft, maya)
    clock.advance(hours=48)
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    begin._committed.store_id = None
    seen = CheckCounts()
    found = [(one.damage, one.is_repaired) for one in sft.maintenance.check_integrity(repair=True, counts=seen)]
    assert found == [(Damage.STUCK_UPLOAD, False)]
    assert seen.failures["store-of-another"]
    assert list(sft.maintenance.sweep.blobs.list(upload.file.blob_prefix))


def test_what_fails_at_once_ends_nothing(sft: Application, maya: User) -> None:
    """However many in a row: what is behind them is looked at."""
    for _ in range(9):
        stored(sft, maya)
    seen = CheckCounts()
    broken = FaultyBlobs(sft.maintenance.sweep.blobs, {("list", number): BlobStoreUnavailable() for number in range(8)})
    assert list(on(sft, broken)(counts=seen)) == []
    assert (seen.files, seen.failures) == (1, Counter({"blob-store-unavailable": 8}))


@pytest.mark.parametrize("is_upload", [True, False])
def test_a_removal_under_way_is_not_told(
    sft: Application, maya: User, clock: SettableClock, *, is_upload: bool
) -> None:
    """It has as long as the slowest upload of a part; after that it is unfinished, and is finished."""
    away = FaultyBlobs(sft.maintenance.sweep.blobs, {("list", 0): BlobStoreUnavailable()})
    upload, file = begun(sft, maya), stored(sft, maya)
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


def test_a_store_that_is_away_ends_it(sft: Application, maya: User, clock: SettableClock) -> None:
    """Three failures in a row that took their time are enough; what needs no store is looked at all the same."""
    for _ in range(9):
        stored(sft, maya)
    wait = partial(clock.advance, seconds=5)
    away = FaultyBlobs(
        sft.maintenance.sweep.blobs, {("list", number): BlobStoreUnavailable() for number in range(9)}, wait=wait
    )
    begin, seen = sft.vault.find_file.begin, CheckCounts()
    assert isinstance(begin, MemoryDatabase)
    begin._committed.usages[maya.id] += 1
    found = on(sft, away)(repair=True, counts=seen)
    assert [(one.damage, one.is_repaired) for one in found] == [(Damage.QUOTA_DRIFT, False)]
    assert seen.failures == Counter({"blob-store-unavailable": MIN_FAILURES})
    assert away.calls["list"] == MIN_FAILURES


def test_findings_come_as_they_are_found(sft: Application, maya: User) -> None:
    """Who looks at a large vault need not wait for the end."""
    files = [stored(sft, maya) for _ in range(2)]
    blobs: BlobStore = sft.maintenance.sweep.blobs
    for blob in list(blobs.list()):
        blobs.delete(blob.key)
    findings = sft.maintenance.check_integrity(verify=Sample())
    first = next(findings)
    assert (first.damage, first.subject) == (Damage.MISSING_PART, f"file {files[0].id} part 0")
    assert [finding.damage for finding in findings] == [Damage.MISSING_PART]
