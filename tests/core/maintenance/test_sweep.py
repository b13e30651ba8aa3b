"""
The sweep on memory: what it finishes, what it leaves alone, and how it goes on where something fails.
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
from sft_core.vault.model import File, FileState
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


def begun(sft: Application, owner: User, *parts: bytes) -> UploadSession:
    upload = sft.vault.begin_upload(owner=owner.id, name=NAME)
    for part in parts:
        sft.vault.store_part(upload, part)
    return upload


def stored(sft: Application, owner: User, content: bytes = b"content") -> File:
    return sft.vault.store_file(owner=owner.id, name=NAME, content=[content])


def condemned(sft: Application, owner: User) -> File:
    """
    A file that was to be deleted when the store was away.
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


# --- what is finished ----------------------------------------------------------------------------------


def test_there_is_nothing_to_do_at_first(sft: Application, maya: User) -> None:
    """Sealed files, links and fresh uploads are left as they are, however often it sweeps."""
    file = stored(sft, maya)
    sft.sharing.issue_share_link(owner=maya.id, file_id=file.id)
    upload = begun(sft, maya, b"half of ")
    for _ in range(2):
        assert sft.maintenance.sweep() == SweepResult()
    sft.vault.store_part(upload, b"it")
    assert sft.sharing.seal_upload(upload).file.size == len(b"half of it")
    assert b"".join(map(bytes, sft.vault.read_file(file))) == b"content"


def test_an_upload_that_nobody_can_go_on_with_is_given_up(sft: Application, maya: User, clock: SettableClock) -> None:
    """A while after its next part should have come and not a microsecond earlier; key, parts, row and hold go."""
    upload = begun(sft, maya, b"x" * 100)
    clock.advance(microseconds=sft.maintenance.sweep.policy.non_resumable_idle / TICK - 1)
    assert sft.maintenance.sweep() == SweepResult()
    clock.advance(microseconds=1)
    assert sft.maintenance.sweep() == SweepResult(given_up=1, removed=1)
    assert (keys(sft), states(sft), used(sft, maya)) == (set(), Counter(), 0)
    with pytest.raises(UploadAborted):
        sft.vault.store_part(upload, b"late")
    assert keys(sft) == set()


def test_an_upload_that_nobody_goes_on_with_is_given_up(sft: Application, maya: User, clock: SettableClock) -> None:
    """One that might be gone on with, a day after its last byte and not a microsecond earlier."""
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
def test_the_slowest_client_has_the_time_for_a_part(environ: Mapping[str, str], seconds: float) -> None:
    """What nobody can go on with is given up no sooner, and what is resumable is never given up before it."""
    policy = memory_application(environ=environ).maintenance.sweep.policy
    assert policy.non_resumable_idle == timedelta(seconds=seconds)
    assert policy.non_resumable_idle <= policy.idle


def test_a_part_that_takes_longer_than_an_upload_is_kept_still_comes() -> None:
    """At a pace that is allowed, and while uploads are kept for the shortest time: of either kind, in sight."""
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


def test_who_goes_on_is_not_given_up(sft: Application, maya: User, clock: SettableClock) -> None:
    """Each part counts anew, also one that no manifest knows yet, however slowly they come."""
    upload = begun(sft, maya, b"one")
    for _ in range(3):
        clock.advance(seconds=(sft.maintenance.sweep.policy.non_resumable_idle - TOUCH_INTERVAL).total_seconds())
        sft.vault.store_part(upload, b"more")
        assert sft.maintenance.sweep() == SweepResult()
    assert sft.sharing.seal_upload(upload).file.size == len(b"onemoremoremore")


def test_a_removal_that_was_cut_off_is_finished(sft: Application, maya: User) -> None:
    """An aborting and a deleting file: parts, rows and holds go at once, and what is sealed stays."""
    kept = stored(sft, maya)
    condemned(sft, maya)
    upload = begun(sft, maya, b"x" * 100)
    away = FaultyBlobs(sft.vault.abort_upload.blobs, {("list", 0): BlobStoreUnavailable()})
    with pytest.raises(BlobStoreUnavailable):
        attrs.evolve(sft.vault.abort_upload, blobs=away)(upload)
    assert states(sft)[FileState.ABORTING] == states(sft)[FileState.DELETING] == 1
    assert sft.maintenance.sweep() == SweepResult(removed=2)
    assert states(sft) == Counter([FileState.SEALED])
    assert {key.partition("/")[0] for key in keys(sft)} == {kept.id.value.hex}
    assert used(sft, maya) == kept.size


# --- blobs of no row ------------------------------------------------------------------------------------


def test_a_blob_of_no_row_goes_after_the_grace_period(sft: Application, maya: User, clock: SettableClock) -> None:
    """Of no file at all, and of a sealed file whose manifest names others."""
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
    A store of which some part cannot be looked into.
    """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        yield from super().list(prefix)
        raise BlobStoreUnavailable


def test_what_a_store_lists_before_it_fails_is_swept(sft: Application, maya: User, clock: SettableClock) -> None:
    """However few; it is said that not everything was looked at."""
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


def test_a_part_that_its_manifest_names_wrongly_is_no_orphan(
    sft: Application, maya: User, clock: SettableClock
) -> None:
    """While a part that is named is missing, one that is not named may be it: the only copy there is."""
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
def test_what_begins_like_a_part_is_no_orphan(sft: Application, maya: User, clock: SettableClock, place: str) -> None:
    """Wherever it was moved to, and whatever lies where it was: it may be the only copy."""
    file, other = stored(sft, maya), stored(sft, maya, b"something else")
    blobs = sft.maintenance.sweep.blobs
    (blob,) = blobs.list(file.blob_prefix)
    content = bytearray(blob.size)
    blobs.read_into(blob.key, 0, memoryview(content), size=blob.size)
    blobs.delete(blob.key)
    name = blob.key.partition("/")[2]
    moved = {"another file": other.blob_prefix, "no file": f"{7:032x}/", "its own file": file.blob_prefix}[place]
    if place == "its own file":
        put(sft, blob.key, b"")
        name = f"{name[:-16]}{'0' * 16}"
    put(sft, moved + name, bytes(content))
    before = keys(sft)
    clock.advance(days=2)
    assert sft.maintenance.sweep() == sft.maintenance.sweep(dry_run=True) == SweepResult()
    assert keys(sft) == before


def test_a_blob_that_cannot_be_looked_at_is_left_alone(sft: Application, maya: User, clock: SettableClock) -> None:
    """And hides no other; what has gone or grown since it was listed is somebody's at work."""
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


def test_a_sum_that_has_drifted_keeps_no_file_from_its_end(sft: Application, maya: User) -> None:
    """A count below what the file holds ends at nothing."""
    condemned(sft, maya)
    kept = stored(sft, maya)
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    begin._committed.usages[maya.id] = 1
    assert sft.maintenance.sweep() == SweepResult(removed=1)
    assert (used(sft, maya), states(sft)) == (0, Counter([FileState.SEALED]))
    sft.vault.delete_file(owner=maya.id, file_id=kept.id)
    assert (used(sft, maya), states(sft)) == (0, Counter())


def test_what_may_be_needed_is_never_an_orphan(sft: Application, maya: User, clock: SettableClock) -> None:
    """A blob of an upload, recorded or not; all there is of a sealed file that lost its manifest; a stranger's."""
    lost = stored(sft, maya)
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    del begin._committed.parts[lost.id]
    for key in ("0/0", f"{'0' * 32}/1", f"{'0' * 31}/1-00000000-{'1' * 16}"):
        put(sft, key)
    clock.advance(days=30)
    begun(sft, maya, b"new bytes")
    before = keys(sft)
    clock.advance(hours=1)
    assert (
        attrs.evolve(
            sft.maintenance.sweep, policy=attrs.evolve(sft.maintenance.sweep.policy, orphan_grace=timedelta(0))
        )()
        == SweepResult()
    )
    assert keys(sft) == before


def test_the_part_of_a_small_file_is_left_alone_until_its_row_comes(
    sft: Application, maya: User, clock: SettableClock
) -> None:
    """No row knows it before the commit that makes it a file: the grace period is for it."""
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=5)
    sft.vault.store_part(upload, b"small")
    assert states(sft) == Counter()
    clock.advance(microseconds=GRACE / TICK - 1)
    assert sft.maintenance.sweep() == SweepResult()
    file = sft.sharing.seal_upload(upload).file
    assert b"".join(map(bytes, sft.vault.read_file(file))) == b"small"


def test_no_grace_period_may_be_too_short_for_a_commit() -> None:
    """What is set to less than an hour is refused at the start."""
    with pytest.raises(ConfigurationError, match="ORPHAN_GRACE_HOURS"):
        memory_application(environ={"ORPHAN_GRACE_HOURS": "0.9"})


def test_a_database_younger_than_the_grace_period_removes_nothing(clock: SettableClock) -> None:
    """Beside an empty or new database a full store is somebody's: it may be the wrong database."""
    old = memory_application(clock)
    stored(old, register(old, "maya"))
    fresh = memory_application(clock)
    begin = fresh.maintenance.sweep.begin
    assert isinstance(begin, MemoryDatabase)
    # As if it had been emptied by hand.
    begin._committed.store_id = old.maintenance.sweep.blobs.store_id()
    sweep = attrs.evolve(fresh.maintenance.sweep, blobs=old.maintenance.sweep.blobs)
    clock.advance(days=9)
    assert sweep() == SweepResult()
    register(fresh, "noor")
    clock.advance(hours=23)
    assert sweep() == SweepResult()
    clock.advance(hours=1)
    assert sweep() == SweepResult(orphans=1, orphan_bytes=len(b"content") + 72)


def test_the_row_is_looked_for_again_before_a_blob_goes(sft: Application, maya: User, clock: SettableClock) -> None:
    """Who has found its row meanwhile keeps its blob."""
    upload = begun(sft, maya, b"new bytes")
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
    assert next(looks) == 1, "it was no orphan at the first look: nothing has been shown"
    assert len(keys(sft)) == 1


# --- dry runs, batches, failures -----------------------------------------------------------------------


def a_mess(sft: Application, owner: User, clock: SettableClock) -> None:
    """
    Five of each: idle uploads, half-done removals, orphans.
    """
    for number in range(5):
        begun(sft, owner, b"idle")
        put(sft, f"{number:032x}/1-00000000-{'1' * 16}")
    clock.advance(hours=24)
    for _ in range(5):
        condemned(sft, owner)
    stored(sft, owner)


MESS = SweepResult(given_up=5, removed=10, orphans=5, orphan_bytes=25)


def test_a_dry_run_tells_the_same_and_changes_nothing(sft: Application, maya: User, clock: SettableClock) -> None:
    """What it counts is what the sweep after it does."""
    a_mess(sft, maya, clock)
    before = keys(sft), states(sft), used(sft, maya)
    assert sft.maintenance.sweep(dry_run=True) == MESS
    assert (keys(sft), states(sft), used(sft, maya)) == before
    assert sft.maintenance.sweep() == MESS


@pytest.mark.parametrize("batch", [1, 2, 5, 1000])
def test_batches_leave_nothing_out(sft: Application, maya: User, clock: SettableClock, batch: int) -> None:
    """Whatever their size, everything is swept in one go."""
    a_mess(sft, maya, clock)
    sweep = attrs.evolve(sft.maintenance.sweep, policy=attrs.evolve(sft.maintenance.sweep.policy, batch_size=batch))
    assert sweep() == MESS
    assert sweep() == SweepResult()
    assert states(sft) == Counter([FileState.SEALED])
    assert len(keys(sft)) == 1


def test_a_failure_does_not_hold_up_the_rest(sft: Application, maya: User, clock: SettableClock) -> None:
    """What could not be removed is counted, the others are, and the next sweep does the rest."""
    a_mess(sft, maya, clock)
    faults = {("delete", 0): BlobStoreUnavailable(), ("list", 3): BlobStoreUnavailable()}
    swept = with_blobs(sft, faults)()
    assert swept == attrs.evolve(MESS, removed=8, failures=Counter({"blob-store-unavailable": 2}))
    assert sft.maintenance.sweep() == SweepResult(removed=2)
    assert len(keys(sft)) == 1


def test_a_store_that_is_away_is_not_asked_for_every_file(sft: Application, maya: User, clock: SettableClock) -> None:
    """After three failures in a row that took their time a step is over; what needs no store is done all the same."""
    a_mess(sft, maya, clock)
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
    assert sft.maintenance.sweep() == attrs.evolve(MESS, given_up=0)


def test_what_fails_at_once_hides_nothing(sft: Application, maya: User, clock: SettableClock) -> None:
    """However many files and parts cannot be removed: the last one of each is, and the others are counted."""
    a_mess(sft, maya, clock)
    broken = {("delete", number): BlobStoreUnavailable() for number in (0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13)}
    swept = with_blobs(sft, broken)()
    assert (swept.given_up, swept.removed, swept.orphans, swept.is_complete) == (5, 2, 1, True)
    assert swept.failures == Counter({"blob-store-unavailable": 12})


def test_a_short_failure_is_no_reason_to_stop(sft: Application, maya: User, clock: SettableClock) -> None:
    """Three that took a little less than it has patience for, and one that took long alone."""
    a_mess(sft, maya, clock)
    pauses = iter([timedelta(hours=1), MIN_FAILURE_TIME - TICK, timedelta(0), timedelta(0)])
    broken = {("list", number): BlobStoreUnavailable() for number in range(4)}
    wait = lambda: clock.advance(seconds=next(pauses).total_seconds())  # noqa: E731
    swept = attrs.evolve(sft.maintenance.sweep, blobs=FaultyBlobs(sft.maintenance.sweep.blobs, broken, wait=wait))()
    assert (swept.removed, swept.is_complete) == (6, True)


def test_a_database_that_is_away_is_told(sft: Application) -> None:
    """Nothing is raised: each step says why it could not be done."""

    def away(**_: bool) -> AbstractContextManager[MemoryUnit]:
        raise DatabaseUnavailable

    swept = attrs.evolve(sft.maintenance.sweep, begin=away)()
    assert swept == SweepResult(failures=Counter({"database-unavailable": 4}), is_complete=False)


@pytest.mark.parametrize("steps", [0, 1, 7, 12])
def test_a_sweep_that_is_told_to_stop_stops(sft: Application, maya: User, clock: SettableClock, steps: int) -> None:
    """Before its next step, and it says so; the next sweep goes on."""
    a_mess(sft, maya, clock)
    left = iter([True] * steps)
    swept = sft.maintenance.sweep(should_continue=lambda: next(left, False))
    assert swept.given_up + swept.removed + swept.orphans == steps
    assert not swept.is_complete
    sft.maintenance.sweep()
    assert len(keys(sft)) == 1


@attrs.define
class Rows:
    """
    Rows that are over, to be pruned.
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
def test_rows_that_are_over_are_let_go_of_in_batches(sft: Application, left: int) -> None:
    """All of them, in bounded transactions."""
    rows = Rows(left)
    sweep = attrs.evolve(sft.maintenance.sweep, expiring=[rows, Rows(1)])
    assert sweep(dry_run=True) == SweepResult(forgotten=left + 1)
    assert sweep() == SweepResult(forgotten=left + 1)
    assert rows.asked == [100] * (left // 100 + 1)


class Stubborn(Rows):
    """
    Rows that cannot be got at.
    """

    def delete_expired(self, *, limit: int, **_: object) -> int:
        del limit
        raise DatabaseUnavailable


def test_rows_that_cannot_be_let_go_of_keep_no_others(sft: Application) -> None:
    """Whichever come first; it is said that not everything was looked at."""
    last = Rows(7)
    swept = attrs.evolve(sft.maintenance.sweep, expiring=[Stubborn(3), last])()
    assert swept == SweepResult(forgotten=7, failures=Counter({"database-unavailable": 1}), is_complete=False)
    assert last.left == 0


# --- links that are over ----------------------------------------------------------------------------------


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


def test_the_token_of_an_expired_link_is_destroyed(sft: Application, maya: User, clock: SettableClock) -> None:
    """A day after the end; who holds it is told the same as before, and its owner how often it was used."""
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


def test_the_token_of_a_revoked_link_is_destroyed(sft: Application, maya: User, clock: SettableClock) -> None:
    """A day after its revocation, however long it would have lasted; to revoke it again is no error."""
    linked = Linked.of(sft, maya)
    sft.sharing.revoke_share_link(owner=maya.id, token=linked.long)
    clock.advance(days=1, seconds=1)
    assert sft.maintenance.sweep() == SweepResult(forgotten=1)
    for _ in range(2):
        with pytest.raises(LinkRevoked):
            sft.sharing.redeem_share_link(token=linked.long)
        sft.sharing.revoke_share_link(owner=maya.id, token=linked.long)
    assert linked.summary().downloads == 2


def test_a_clock_that_goes_back_shows_no_token_that_is_gone(sft: Application, maya: User, clock: SettableClock) -> None:
    """The link is live again by that clock and opens for who holds it; its owner sees that there is one."""
    file = stored(sft, maya)
    token = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, expires_hours=3).token
    clock.advance(days=2)
    sft.maintenance.sweep()
    clock.advance(days=-2)
    summary = sft.sharing.summarise_links([file])[file.id]
    assert (summary.current is None, summary.token) == (False, None)
    assert sft.sharing.redeem_share_link(token=token) == file


# --- in turn ---------------------------------------------------------------------------------------------


def in_turn(sft: Application, leases: MemoryLeases, holder: str) -> LeasedSweep:
    return LeasedSweep(sweep=sft.maintenance.sweep, leases=leases, holder=holder, interval=timedelta(minutes=5))


def test_one_of_many_sweeps(sft: Application, clock: SettableClock) -> None:
    """It keeps its turn from one interval to the next; when it is gone for two, another one takes over."""
    leases = MemoryLeases()
    first, second = in_turn(sft, leases, "first"), in_turn(sft, leases, "second")
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


def test_who_dies_in_the_middle_is_followed(sft: Application, maya: User, clock: SettableClock) -> None:
    """While it sweeps nobody else does, however long it takes; two minutes after its last sign another one may."""
    a_mess(sft, maya, clock)
    leases = MemoryLeases()
    first, second = in_turn(sft, leases, "first"), in_turn(sft, leases, "second")
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


def test_who_has_lost_its_turn_stops(sft: Application, maya: User, clock: SettableClock) -> None:
    """A sweep that was away for longer than its lease leaves the rest to its successor."""
    a_mess(sft, maya, clock)
    leases = MemoryLeases()
    first, second = in_turn(sft, leases, "first"), in_turn(sft, leases, "second")
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
    assert others[1] == MESS
