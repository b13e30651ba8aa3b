"""
The sweep on memory: what it deletes, what it keeps, and how it continues after failures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from itertools import count

import attrs
import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase, MemoryUnit
from sft_adapters.memory.leases import MemoryLeases
from sft_adapters.memory.wrapped_secrets import MemoryWrappedSecrets
from sft_core.application import Application
from sft_core.errors import (
    BlobMissing,
    BlobSizeMismatch,
    BlobStoreUnavailable,
    ConfigurationError,
    DatabaseUnavailable,
    LinkExpired,
    LinkRevoked,
    UploadAborted,
)
from sft_core.keys.model import SecretKind
from sft_core.maintenance.failure_budget import MIN_FAILURE_TIME, MIN_FAILURES
from sft_core.maintenance.sweep import LEASE_DURATION, LeasedSweep, Sweep, SweepResult
from sft_core.sharing.model import LinkSummary
from sft_core.users.model import User
from sft_core.values import OCTET_STREAM, FileName, ShareToken
from sft_core.vault.model import File, FileState, blob_prefix
from sft_core.vault.ports import BlobInfo
from sft_core.vault.use_cases import UploadSession
from sft_core.vault.use_cases.resumable import UploadRequest
from sft_core.vault.use_cases.upload_session import TOUCH_INTERVAL
from support.app.library import LIGHT, FaultyBlobs, register

NAME = FileName.parse("notes.txt")
IDLE = timedelta(hours=24)
GRACE = timedelta(hours=24)
TICK = timedelta(microseconds=1)
STEP = 50


def upload_with(sft: Application, owner: User, *parts: bytes) -> UploadSession:
    upload = sft.vault.begin_upload(owner=owner.id, name=NAME)
    for part in parts:
        sft.vault.store_part(upload, part)
    return upload


def stored(sft: Application, owner: User, content: bytes = b"content") -> File:
    return sft.vault.store_file(owner=owner.id, name=NAME, content=[content])


def half_deleted_file(sft: Application, owner: User) -> File:
    """
    A file whose deletion could not remove its blobs because the store was unavailable.
    """
    file = stored(sft, owner)
    away = FaultyBlobs(sft.vault.delete_file.blobs, {("list", 0): BlobStoreUnavailable()})
    attrs.evolve(sft.vault.delete_file, blobs=away)(owner=owner.id, file_id=file.id)
    return file


def keys(sft: Application) -> set[str]:
    return {blob.key for blob in sft.maintenance.sweep.blobs.list()}


def states(sft: Application) -> Counter[FileState]:
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    return Counter(file.state for file in begin.snapshot().files.values())


def used(sft: Application, owner: User) -> int:
    with sft.vault.find_file.begin(read_only=True) as unit:
        return unit.quotas.used(owner.id)


def put(sft: Application, key: str, content: bytes = b"noise") -> None:
    sft.maintenance.sweep.blobs.put(key, [content], size=len(content))


def with_blobs(sft: Application, faults: Mapping[tuple[str, int], BaseException]) -> Sweep:
    return attrs.evolve(sft.maintenance.sweep, blobs=FaultyBlobs(sft.maintenance.sweep.blobs, faults))


# --- what is deleted -------------------------------------------------------------------------------------


def test_sweep_without_leftovers_changes_nothing(sft: Application, maya: User) -> None:
    """Sealed files, links and recent uploads stay unchanged, however often the sweep runs."""
    file = stored(sft, maya)
    sft.sharing.issue_share_link(owner=maya.id, file_id=file.id)
    upload = upload_with(sft, maya, b"half of ")
    for _ in range(2):
        assert sft.maintenance.sweep() == SweepResult()
    sft.vault.store_part(upload, b"it")
    assert sft.sharing.seal_upload(upload).file.size == len(b"half of it")
    assert b"".join(map(bytes, sft.vault.read_file(file))) == b"content"


def test_non_resumable_upload_that_is_idle_is_aborted(sft: Application, maya: User, clock: SettableClock) -> None:
    """The sweep aborts it once it is idle for the full time, and deletes key, parts, row and reservation."""
    upload = upload_with(sft, maya, b"x" * 100)
    clock.advance(microseconds=sft.maintenance.sweep.policy.non_resumable_idle / TICK - 1)
    assert sft.maintenance.sweep() == SweepResult()
    clock.advance(microseconds=1)
    assert sft.maintenance.sweep() == SweepResult(given_up=1, removed=1)
    assert (keys(sft), states(sft), used(sft, maya)) == (set(), Counter(), 0)
    with pytest.raises(UploadAborted):
        sft.vault.store_part(upload, b"late")
    assert keys(sft) == set()


def test_resumable_upload_that_is_idle_is_aborted(sft: Application, maya: User, clock: SettableClock) -> None:
    """A resumable upload is aborted exactly 24 hours after its last byte, not a microsecond earlier."""
    upload = sft.vault.create_upload(
        owner=maya.id, request=UploadRequest(name=NAME, media_type=OCTET_STREAM, length=100)
    )
    clock.advance(hours=1)
    session = sft.vault.acquire_upload(owner=maya.id, file_id=upload.file.id, offset=0)
    sft.vault.store_part(session, b"x" * 10)
    clock.advance(microseconds=IDLE / TICK - 1)
    assert sft.maintenance.sweep() == SweepResult()
    clock.advance(microseconds=1)
    assert sft.maintenance.sweep() == SweepResult(given_up=1, removed=1)
    assert (keys(sft), states(sft), used(sft, maya)) == (set(), Counter(), 0)


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 15 * 60 + 4096 + 60),
        (
            {"NON_RESUMABLE_IDLE_MINUTES": "5", "MIN_BYTES_PER_SECOND": "1048576", "STALL_SECONDS": "10"},
            5 * 60 + 4 + 10,
        ),
        ({"UPLOAD_IDLE_HOURS": "1"}, 15 * 60 + 4096 + 60),
        ({"UPLOAD_IDLE_HOURS": "1", "NON_RESUMABLE_IDLE_MINUTES": "90"}, 60 * 60 + 4096 + 60),
    ],
)
def test_idle_time_covers_the_slowest_permitted_part(environ: Mapping[str, str], seconds: float) -> None:
    """The idle time covers the slowest permitted part and never exceeds that of a resumable upload."""
    policy = memory_application(environ=environ).maintenance.sweep.policy
    assert policy.non_resumable_idle == timedelta(seconds=seconds)
    assert policy.non_resumable_idle <= policy.idle


def test_part_slower_than_the_idle_hours_keeps_its_upload() -> None:
    """With the shortest idle time, a part sent at the minimum rate keeps both kinds of upload alive."""
    clock = SettableClock()
    sft = memory_application(clock, LIGHT | {"UPLOAD_IDLE_HOURS": "1"})
    maya = register(sft, "maya")
    single = sft.vault.begin_upload(owner=maya.id, name=NAME)
    resumable = sft.vault.create_upload(
        owner=maya.id, request=UploadRequest(name=NAME, media_type=OCTET_STREAM, length=2)
    )
    session = sft.vault.acquire_upload(owner=maya.id, file_id=resumable.file.id, offset=0)
    for offset in range(2):
        clock.advance(seconds=4096 + 60)
        assert sft.maintenance.sweep() == SweepResult()
        assert sft.vault.find_upload(owner=maya.id, file_id=resumable.file.id).offset == offset
        sft.vault.store_part(single, b"x")
        sft.vault.store_part(session, b"x")
    assert sft.sharing.seal_upload(single).file.size == 2
    assert sft.vault.finish_upload(owner=maya.id, file_id=resumable.file.id).is_sealed


def test_upload_that_continues_is_not_aborted(sft: Application, maya: User, clock: SettableClock) -> None:
    """Each part restarts the idle time, even if no manifest contains it yet."""
    upload = upload_with(sft, maya, b"one")
    for _ in range(3):
        clock.advance(seconds=(sft.maintenance.sweep.policy.non_resumable_idle - TOUCH_INTERVAL).total_seconds())
        sft.vault.store_part(upload, b"more")
        assert sft.maintenance.sweep() == SweepResult()
    assert sft.sharing.seal_upload(upload).file.size == len(b"onemoremoremore")


def test_interrupted_deletion_is_completed(sft: Application, maya: User) -> None:
    """Parts, rows and reservations of an aborting and of a deleting file are deleted; sealed files stay."""
    kept = stored(sft, maya)
    half_deleted_file(sft, maya)
    upload = upload_with(sft, maya, b"x" * 100)
    away = FaultyBlobs(sft.vault.abort_upload.blobs, {("list", 0): BlobStoreUnavailable()})
    with pytest.raises(BlobStoreUnavailable):
        attrs.evolve(sft.vault.abort_upload, blobs=away)(upload)
    assert states(sft)[FileState.ABORTING] == states(sft)[FileState.DELETING] == 1
    assert sft.maintenance.sweep() == SweepResult(removed=2)
    assert states(sft) == Counter([FileState.SEALED])
    assert {key.partition("/")[0] for key in keys(sft)} == {kept.id.value.hex}
    assert used(sft, maya) == kept.size


# --- blobs without a row --------------------------------------------------------------------------------


def test_unreferenced_blob_is_deleted_after_the_grace_time(sft: Application, maya: User, clock: SettableClock) -> None:
    """This holds for a blob of no file, and for one that the manifest of a sealed file does not list."""
    file = stored(sft, maya)
    own = keys(sft)
    put(sft, f"{'0' * 32}/1-00000000-{'1' * 16}", b"four")
    put(sft, file.blob_key(0, bytes(8)), b"eleven more")
    clock.advance(microseconds=GRACE / TICK - 1)
    assert sft.maintenance.sweep() == SweepResult()
    clock.advance(microseconds=1)
    assert sft.maintenance.sweep() == SweepResult(orphans=2, orphan_bytes=15)
    assert keys(sft) == own


class PartlyListed(MemoryBlobs):
    """
    A store that can list only some of its blobs.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        yield from super().list(prefix)
        raise BlobStoreUnavailable


def test_blobs_listed_before_a_failure_are_swept(sft: Application, maya: User, clock: SettableClock) -> None:
    """The blobs listed before the failure are deleted, and the sweep is reported as incomplete."""
    stored(sft, maya)
    blobs = PartlyListed(now=clock.now)
    blobs.set_store_id(str(sft.maintenance.sweep.blobs.store_id()))
    for number in range(3):
        blobs.put(f"{number:032x}/1-00000000-{number:016x}", [b"noise"], size=5)
    clock.advance(hours=24)
    swept = attrs.evolve(sft.maintenance.sweep, blobs=blobs)()
    assert swept == SweepResult(
        orphans=3, orphan_bytes=15, failures=Counter({"blob-store-unavailable": 1}), is_complete=False
    )


def test_unlisted_blob_beside_a_missing_part_is_no_orphan(sft: Application, maya: User, clock: SettableClock) -> None:
    """While a listed part is missing, no unlisted blob is deleted: it may be the only copy of that part."""
    file = stored(sft, maya)
    begin, own = sft.vault.find_file.begin, keys(sft)
    assert isinstance(begin, MemoryDatabase)
    (part,) = begin.snapshot().parts[file.id]
    begin._committed.parts[file.id] = (attrs.evolve(part, blob_key=file.blob_key(0, bytes(8))),)
    clock.advance(days=2)
    assert sft.maintenance.sweep() == SweepResult()
    assert keys(sft) == own
    begin._committed.parts[file.id] = (part,)
    put(sft, file.blob_key(0, bytes(8)), b"four")
    clock.advance(days=2)
    assert sft.maintenance.sweep() == SweepResult(orphans=1, orphan_bytes=4)
    assert keys(sft) == own


@pytest.mark.parametrize("place", ["another file", "no file", "its own file"])
def test_blob_with_a_part_header_is_no_orphan(sft: Application, maya: User, clock: SettableClock, place: str) -> None:
    """A blob that starts with a part header is kept wherever it was moved: it may be the only copy."""
    file, other = stored(sft, maya), stored(sft, maya, b"something else")
    blobs = sft.maintenance.sweep.blobs
    (blob,) = blobs.list(blob_prefix(file.id))
    content = bytearray(blob.size)
    blobs.read_into(blob.key, 0, memoryview(content), size=blob.size)
    blobs.delete(blob.key)
    name = blob.key.partition("/")[2]
    moved = {"another file": blob_prefix(other.id), "no file": f"{7:032x}/", "its own file": blob_prefix(file.id)}[
        place
    ]
    if place == "its own file":
        put(sft, blob.key, b"")
        name = f"{name[:-16]}{'0' * 16}"
    put(sft, moved + name, bytes(content))
    before = keys(sft)
    clock.advance(days=2)
    assert sft.maintenance.sweep() == sft.maintenance.sweep(dry_run=True) == SweepResult()
    assert keys(sft) == before


def test_unreadable_blob_is_kept(sft: Application, maya: User, clock: SettableClock) -> None:
    """Other blobs are still deleted; a blob that vanished or grew since the listing belongs to a running upload."""
    stored(sft, maya)
    for number in range(4):
        put(sft, f"{number:032x}/1-00000000-{number:016x}", b"noise" * 20)
    clock.advance(days=2)
    unreadable = {
        ("read_into", 0): BlobStoreUnavailable(),
        ("read_into", 1): BlobMissing(),
        ("read_into", 2): BlobSizeMismatch(),
    }
    swept = with_blobs(sft, unreadable)()
    assert (swept.orphans, swept.is_complete) == (1, False)
    assert swept.failures == Counter({"blob-store-unavailable": 1})
    assert sft.maintenance.sweep() == SweepResult(orphans=3, orphan_bytes=300)


def test_drifted_usage_does_not_block_a_deletion(sft: Application, maya: User) -> None:
    """A drifted usage below the file's size is reduced to zero, and the file is still deleted."""
    half_deleted_file(sft, maya)
    kept = stored(sft, maya)
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    begin._committed.usages[maya.id] = 1
    assert sft.maintenance.sweep() == SweepResult(removed=1)
    assert (used(sft, maya), states(sft)) == (0, Counter([FileState.SEALED]))
    sft.vault.delete_file(owner=maya.id, file_id=kept.id)
    assert (used(sft, maya), states(sft)) == (0, Counter())


def test_blob_that_may_be_needed_is_no_orphan(sft: Application, maya: User, clock: SettableClock) -> None:
    """Blobs of a running upload, of a sealed file without a manifest, and with foreign names are all kept."""
    lost = stored(sft, maya)
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    del begin._committed.parts[lost.id]
    for key in ("0/0", f"{'0' * 32}/1", f"{'0' * 31}/1-00000000-{'1' * 16}"):
        put(sft, key)
    clock.advance(days=30)
    upload_with(sft, maya, b"new bytes")
    before = keys(sft)
    clock.advance(hours=1)
    assert (
        attrs.evolve(
            sft.maintenance.sweep, policy=attrs.evolve(sft.maintenance.sweep.policy, orphan_grace=timedelta(0))
        )()
        == SweepResult()
    )
    assert keys(sft) == before


def test_part_of_a_small_file_is_kept_until_its_row_is_written(
    sft: Application, maya: User, clock: SettableClock
) -> None:
    """Before the seal no row refers to the part, so only the grace period protects it."""
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=5)
    sft.vault.store_part(upload, b"small")
    assert states(sft) == Counter()
    clock.advance(microseconds=GRACE / TICK - 1)
    assert sft.maintenance.sweep() == SweepResult()
    file = sft.sharing.seal_upload(upload).file
    assert b"".join(map(bytes, sft.vault.read_file(file))) == b"small"


def test_grace_period_too_short_for_a_commit_is_refused() -> None:
    """A grace period shorter than an hour is refused at start-up."""
    with pytest.raises(ConfigurationError, match="ORPHAN_GRACE_HOURS"):
        memory_application(environ={"ORPHAN_GRACE_HOURS": "0.9"})


def test_database_younger_than_the_grace_period_deletes_nothing(clock: SettableClock) -> None:
    """A full store beside an empty or new database may belong to another database, so nothing is deleted."""
    old = memory_application(clock)
    stored(old, register(old, "maya"))
    fresh = memory_application(clock)
    begin = fresh.maintenance.sweep.begin
    assert isinstance(begin, MemoryDatabase)
    # The state after an operator has emptied the database by hand.
    begin._committed.store_id = old.maintenance.sweep.blobs.store_id()
    sweep = attrs.evolve(fresh.maintenance.sweep, blobs=old.maintenance.sweep.blobs)
    clock.advance(days=9)
    assert sweep() == SweepResult()
    register(fresh, "noor")
    clock.advance(hours=23)
    assert sweep() == SweepResult()
    clock.advance(hours=1)
    assert sweep() == SweepResult(orphans=1, orphan_bytes=len(b"content") + 72)


def test_row_is_checked_again_before_a_blob_is_deleted(sft: Application, maya: User, clock: SettableClock) -> None:
    """A blob whose row appears between the listing and the deletion is kept."""
    upload = upload_with(sft, maya, b"new bytes")
    clock.advance(hours=1)
    begin, looks = sft.vault.find_file.begin, count()
    assert isinstance(begin, MemoryDatabase)
    row = begin._committed.files.pop(upload.file.id)

    def should_continue() -> bool:
        next(looks)
        begin._committed.files[upload.file.id] = row
        return True

    policy = attrs.evolve(sft.maintenance.sweep.policy, orphan_grace=timedelta(0))
    assert (
        attrs.evolve(sft.maintenance.sweep, policy=policy, expiring=())(should_continue=should_continue)
        == SweepResult()
    )
    assert next(looks) == 1, "the first check must find an orphan, or this test shows nothing"
    assert len(keys(sft)) == 1


# --- dry runs, batches, failures -----------------------------------------------------------------------


def make_leftovers(sft: Application, owner: User, clock: SettableClock) -> None:
    """
    Five of each: idle uploads, unfinished deletions, orphans.
    """
    for number in range(5):
        upload_with(sft, owner, b"idle")
        put(sft, f"{number:032x}/1-00000000-{'1' * 16}")
    clock.advance(hours=24)
    for _ in range(5):
        half_deleted_file(sft, owner)
    stored(sft, owner)


LEFTOVERS = SweepResult(given_up=5, removed=10, orphans=5, orphan_bytes=25)


def test_dry_run_reports_the_same_and_changes_nothing(sft: Application, maya: User, clock: SettableClock) -> None:
    """The counts of a dry run equal those of the sweep that follows it."""
    make_leftovers(sft, maya, clock)
    before = keys(sft), states(sft), used(sft, maya)
    assert sft.maintenance.sweep(dry_run=True) == LEFTOVERS
    assert (keys(sft), states(sft), used(sft, maya)) == before
    assert sft.maintenance.sweep() == LEFTOVERS


@pytest.mark.parametrize("batch", [1, 2, 5, 1000])
def test_batch_size_does_not_change_the_result(sft: Application, maya: User, clock: SettableClock, batch: int) -> None:
    """One sweep deletes everything, whatever the batch size."""
    make_leftovers(sft, maya, clock)
    sweep = attrs.evolve(sft.maintenance.sweep, policy=attrs.evolve(sft.maintenance.sweep.policy, batch_size=batch))
    assert sweep() == LEFTOVERS
    assert sweep() == SweepResult()
    assert states(sft) == Counter([FileState.SEALED])
    assert len(keys(sft)) == 1


def test_failure_does_not_stop_the_other_deletions(sft: Application, maya: User, clock: SettableClock) -> None:
    """The failed deletions are counted, the others happen, and the next sweep deletes the rest."""
    make_leftovers(sft, maya, clock)
    faults = {("delete", 0): BlobStoreUnavailable(), ("list", 3): BlobStoreUnavailable()}
    swept = with_blobs(sft, faults)()
    assert swept == attrs.evolve(LEFTOVERS, removed=8, failures=Counter({"blob-store-unavailable": 2}))
    assert sft.maintenance.sweep() == SweepResult(removed=2)
    assert len(keys(sft)) == 1


def test_unavailable_store_is_not_called_for_every_file(sft: Application, maya: User, clock: SettableClock) -> None:
    """After three slow failures in a row the step stops; steps that do not need the store still run."""
    make_leftovers(sft, maya, clock)
    away = {("list", number): BlobStoreUnavailable() for number in range(99)}
    sweep = attrs.evolve(
        sft.maintenance.sweep,
        blobs=FaultyBlobs(sft.maintenance.sweep.blobs, away, wait=lambda: clock.advance(seconds=5)),
    )
    swept = sweep()
    assert (swept.given_up, swept.removed, swept.is_complete) == (5, 0, False)
    assert swept.failures == Counter({"blob-store-unavailable": MIN_FAILURES + 1})
    assert isinstance(sweep.blobs, FaultyBlobs)
    assert sweep.blobs.calls["list"] == MIN_FAILURES + 1
    assert sft.maintenance.sweep() == attrs.evolve(LEFTOVERS, given_up=0)


def test_quick_failures_do_not_stop_the_sweep(sft: Application, maya: User, clock: SettableClock) -> None:
    """However many quick failures occur, every file and blob is tried and each failure is counted."""
    make_leftovers(sft, maya, clock)
    broken = {("delete", number): BlobStoreUnavailable() for number in (0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13)}
    swept = with_blobs(sft, broken)()
    assert (swept.given_up, swept.removed, swept.orphans, swept.is_complete) == (5, 2, 1, True)
    assert swept.failures == Counter({"blob-store-unavailable": 12})


def test_short_failures_do_not_stop_the_sweep(sft: Application, maya: User, clock: SettableClock) -> None:
    """Neither three failures just below the time limit nor a single slow one stops the step."""
    make_leftovers(sft, maya, clock)
    pauses = iter([timedelta(hours=1), MIN_FAILURE_TIME - TICK, timedelta(0), timedelta(0)])
    broken = {("list", number): BlobStoreUnavailable() for number in range(4)}
    wait = lambda: clock.advance(seconds=next(pauses).total_seconds())  # noqa: E731
    swept = attrs.evolve(sft.maintenance.sweep, blobs=FaultyBlobs(sft.maintenance.sweep.blobs, broken, wait=wait))()
    assert (swept.removed, swept.is_complete) == (6, True)


def test_unavailable_database_is_reported(sft: Application) -> None:
    """The sweep raises nothing: each step reports why it failed."""

    def away(**_: bool) -> AbstractContextManager[MemoryUnit]:
        raise DatabaseUnavailable

    swept = attrs.evolve(sft.maintenance.sweep, begin=away)()
    assert swept == SweepResult(failures=Counter({"database-unavailable": 4}), is_complete=False)


@pytest.mark.parametrize("steps", [0, 1, 7, 12])
def test_sweep_that_should_stop_stops(sft: Application, maya: User, clock: SettableClock, steps: int) -> None:
    """The sweep stops before its next step and reports itself as incomplete; the next sweep continues."""
    make_leftovers(sft, maya, clock)
    left = iter([True] * steps)
    swept = sft.maintenance.sweep(should_continue=lambda: next(left, False))
    assert swept.given_up + swept.removed + swept.orphans == steps
    assert not swept.is_complete
    sft.maintenance.sweep()
    assert len(keys(sft)) == 1


@attrs.define
class ExpiredRows:
    """
    Expired rows to delete.
    """

    left: int
    asked: list[int] = attrs.field(factory=list)

    def count_expired(self, **_: object) -> int:
        return self.left

    def delete_expired(self, *, limit: int, **_: object) -> int:
        count = min(limit, self.left)
        self.left -= count
        self.asked.append(limit)
        return count


@pytest.mark.parametrize("left", [0, 99, 100, 250])
def test_expired_rows_are_deleted_in_batches(sft: Application, left: int) -> None:
    """All expired rows are deleted, each batch in its own bounded transaction."""
    rows = ExpiredRows(left)
    sweep = attrs.evolve(sft.maintenance.sweep, expiring=[rows, ExpiredRows(1)])
    assert sweep(dry_run=True) == SweepResult(forgotten=left + 1)
    assert sweep() == SweepResult(forgotten=left + 1)
    assert rows.asked == [100] * (left // 100 + 1)


class UndeletableRows(ExpiredRows):
    """
    Expired rows that cannot be deleted.
    """

    def delete_expired(self, *, limit: int, **_: object) -> int:
        del limit
        raise DatabaseUnavailable


def test_rows_that_cannot_be_deleted_do_not_block_others(sft: Application) -> None:
    """A failing store does not stop the stores after it; the sweep is reported as incomplete."""
    last = ExpiredRows(7)
    swept = attrs.evolve(sft.maintenance.sweep, expiring=[UndeletableRows(3), last])()
    assert swept == SweepResult(forgotten=7, failures=Counter({"database-unavailable": 1}), is_complete=False)
    assert last.left == 0


# --- expired links ----------------------------------------------------------------------------------------


@attrs.frozen
class Linked:
    """
    A file with a link of three hours and one of a month, each used once.
    """

    sft: Application
    owner: User
    file: File
    short: ShareToken
    long: ShareToken

    @classmethod
    def of(cls, sft: Application, owner: User) -> Linked:
        file = stored(sft, owner)
        tokens = []
        for hours in (3, 720):
            tokens.append(sft.sharing.issue_share_link(owner=owner.id, file_id=file.id, expires_hours=hours).token)
            sft.sharing.redeem_share_link(token=tokens[-1])
        return cls(sft, owner, file, *tokens)

    def tokens_kept(self) -> int:
        begin = self.sft.vault.find_file.begin
        assert isinstance(begin, MemoryDatabase)
        return sum(MemoryWrappedSecrets(begin).count()[SecretKind.LINK_TOKEN].values())

    def summary(self) -> LinkSummary:
        return self.sft.sharing.summarise_links([self.file])[self.file.id]


def test_token_of_an_expired_link_is_deleted(sft: Application, maya: User, clock: SettableClock) -> None:
    """The token is deleted a day after expiry; recipients get the same error, and owners still see the use count."""
    linked = Linked.of(sft, maya)
    clock.advance(hours=27)
    assert sft.maintenance.sweep() == SweepResult()
    clock.advance(seconds=1)
    assert sft.maintenance.sweep(dry_run=True) == SweepResult(forgotten=1)
    assert linked.tokens_kept() == 2
    assert [sft.maintenance.sweep(), sft.maintenance.sweep()] == [SweepResult(forgotten=1), SweepResult()]
    assert linked.tokens_kept() == 1
    for use in (sft.sharing.redeem_share_link, sft.sharing.find_shared_file):
        with pytest.raises(LinkExpired):
            use(token=linked.short)
    assert (linked.summary().token, linked.summary().downloads) == (linked.long, 2)
    assert sft.sharing.redeem_share_link(token=linked.long) == linked.file


def test_token_of_a_revoked_link_is_deleted(sft: Application, maya: User, clock: SettableClock) -> None:
    """The token is deleted a day after the revocation, and revoking the link again is no error."""
    linked = Linked.of(sft, maya)
    sft.sharing.revoke_share_link(owner=maya.id, token=linked.long)
    clock.advance(days=1, seconds=1)
    assert sft.maintenance.sweep() == SweepResult(forgotten=1)
    for _ in range(2):
        with pytest.raises(LinkRevoked):
            sft.sharing.redeem_share_link(token=linked.long)
        sft.sharing.revoke_share_link(owner=maya.id, token=linked.long)
    assert linked.summary().downloads == 2


def test_clock_set_back_shows_no_deleted_token(sft: Application, maya: User, clock: SettableClock) -> None:
    """The link works again for its recipients by that clock; the owner sees the link but not its token."""
    file = stored(sft, maya)
    token = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, expires_hours=3).token
    clock.advance(days=2)
    sft.maintenance.sweep()
    clock.advance(days=-2)
    summary = sft.sharing.summarise_links([file])[file.id]
    assert (summary.current is None, summary.token) == (False, None)
    assert sft.sharing.redeem_share_link(token=token) == file


# --- one sweep at a time ---------------------------------------------------------------------------------


def leased_sweep(sft: Application, leases: MemoryLeases, holder: str) -> LeasedSweep:
    return LeasedSweep(sweep=sft.maintenance.sweep, leases=leases, holder=holder, interval=timedelta(minutes=5))


def test_one_process_sweeps_at_a_time(sft: Application, clock: SettableClock) -> None:
    """The lease holder keeps it between sweeps; after two missed intervals another process acquires it."""
    leases = MemoryLeases()
    first, second = leased_sweep(sft, leases, "first"), leased_sweep(sft, leases, "second")
    for _ in range(3):
        assert first() == SweepResult()
        assert second() is None
        clock.advance(minutes=5)
    assert second() is None
    clock.advance(minutes=5)
    assert second() == SweepResult()
    assert first() is None
    second.stop()
    assert first() == SweepResult()


def test_sweep_of_a_dead_process_is_taken_over(sft: Application, maya: User, clock: SettableClock) -> None:
    """No other process sweeps during a sweep, however long; one may two minutes after the last renewal."""
    make_leftovers(sft, maya, clock)
    leases = MemoryLeases()
    first, second = leased_sweep(sft, leases, "first"), leased_sweep(sft, leases, "second")
    steps = count()

    class DiedError(BaseException):
        pass

    def should_continue() -> bool:
        clock.advance(seconds=STEP)
        assert second() is None
        if next(steps) == 7:
            raise DiedError
        return True

    with pytest.raises(DiedError):
        first(should_continue=should_continue)
    clock.advance(seconds=-STEP, microseconds=LEASE_DURATION / TICK - 1)
    assert second() is None
    clock.advance(microseconds=1)
    swept = second()
    assert swept is not None
    assert swept.is_complete
    assert len(keys(sft)) == 1


def test_sweep_that_lost_its_lease_stops(sft: Application, maya: User, clock: SettableClock) -> None:
    """A sweep that paused for longer than its lease leaves the rest to the new lease holder."""
    make_leftovers(sft, maya, clock)
    leases = MemoryLeases()
    first, second = leased_sweep(sft, leases, "first"), leased_sweep(sft, leases, "second")
    others: list[SweepResult | None] = []

    def should_continue() -> bool:
        if not others:
            clock.advance(minutes=9)
            others.append(None)
            others.append(second())
        return True

    swept = first(should_continue=should_continue)
    assert swept is not None
    assert not swept.is_complete
    assert others[1] == LEFTOVERS
