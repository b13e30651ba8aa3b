"""
The end that an owner sets for a file: from it on the file is gone for everybody, swept or not.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import attrs
import pytest

from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase
from sft_core.application import Application
from sft_core.errors import FileNotFound, InvalidValue, LinkExpired, LinkNotFound, LinkRevoked, ResultGone
from sft_core.maintenance.sweep import SweepResult
from sft_core.sharing.idempotency import IdempotencyKey, IdempotentRequest
from sft_core.users.model import User
from sft_core.values import OCTET_STREAM, FileName, Page, UserId
from sft_core.vault.model import MAX_FILE_HOURS, File, FileState
from sft_core.vault.use_cases.resumable import UploadRequest
from support.app.library import register

NAME = FileName.parse("brief.txt")
TICK = timedelta(microseconds=1)
KEY = IdempotencyKey.parse("8e03978e-40d5-43e8-bc93-6894a57f9324")


@pytest.fixture
def file(sft: Application, maya: User) -> File:
    """
    A file that ends in two hours.
    """
    stored = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"brief"])
    return sft.vault.set_expiry(owner=maya.id, file_id=stored.id, expires_hours=2)


def listed(sft: Application, owner: User) -> list[File]:
    return list(sft.vault.list_files(owner=owner.id, page=Page()))


def to_the_end(clock: SettableClock, *, short_of: timedelta = timedelta(0)) -> None:
    clock.advance(seconds=7200 - short_of.total_seconds())


def test_until_its_end_a_file_is_like_any_other(sft: Application, maya: User, file: File, clock: SettableClock) -> None:
    """Found, listed, read and shared to the last microsecond; a sweep leaves it alone."""
    assert file.expires_at == clock.now() + timedelta(hours=2)
    to_the_end(clock, short_of=TICK)
    assert sft.maintenance.sweep() == SweepResult()
    assert sft.vault.find_file(owner=maya.id, file_id=file.id) == file
    assert listed(sft, maya) == [file]
    token = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id).token
    assert b"".join(map(bytes, sft.vault.read_file(sft.sharing.redeem_share_link(token=token)))) == b"brief"


@pytest.mark.parametrize("is_swept", [False, True])
def test_from_its_end_on_nobody_finds_a_file(
    sft: Application, maya: User, file: File, clock: SettableClock, *, is_swept: bool
) -> None:
    """Neither its owner in any way, nor who holds a link, which spends nothing; whether a sweep was there or not."""
    # A link of before the file was given an end: it would last for a month.
    sft.vault.set_expiry(owner=maya.id, file_id=file.id, expires_hours=None)
    token = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, expires_hours=720, max_downloads=1).token
    sft.vault.set_expiry(owner=maya.id, file_id=file.id, expires_hours=2)
    to_the_end(clock)
    if is_swept:
        clock.advance(hours=1)
        assert sft.maintenance.sweep() == SweepResult(expired=1, removed=1)
    assert listed(sft, maya) == []
    uses: list[Callable[..., object]] = [sft.vault.find_file, sft.vault.delete_file, sft.sharing.issue_share_link]
    for use in uses:
        with pytest.raises(FileNotFound):
            use(owner=maya.id, file_id=file.id)
    with pytest.raises(FileNotFound):
        sft.vault.set_expiry(owner=maya.id, file_id=file.id, expires_hours=None)
    for look in (sft.sharing.find_shared_file, sft.sharing.redeem_share_link):
        with pytest.raises(LinkNotFound if is_swept else LinkExpired):
            look(token=token)
    assert sft.sharing.summarise_links([file])[file.id].downloads == 0


def test_a_link_that_was_revoked_says_so(sft: Application, maya: User, file: File, clock: SettableClock) -> None:
    """That its file has ended too does not matter."""
    token = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id).token
    sft.sharing.revoke_share_link(owner=maya.id, token=token)
    to_the_end(clock)
    with pytest.raises(LinkRevoked):
        sft.sharing.redeem_share_link(token=token)


def test_a_sweep_leaves_nothing_of_it(sft: Application, maya: User, file: File, clock: SettableClock) -> None:
    """Its key, parts, rows and what it holds of the quota, an hour later; other files stay. A dry run only tells."""
    kept = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"for long"])
    to_the_end(clock)
    clock.advance(seconds=3600 - TICK.total_seconds())
    assert sft.maintenance.sweep() == SweepResult()
    clock.advance(microseconds=1)
    assert sft.maintenance.sweep(dry_run=True) == SweepResult(expired=1, removed=1)
    with sft.vault.find_file.begin(read_only=True) as unit:
        assert unit.files.get(file.id) == file
    assert [sft.maintenance.sweep(), sft.maintenance.sweep()] == [SweepResult(expired=1, removed=1), SweepResult()]
    assert listed(sft, maya) == [kept]
    assert {blob.key.partition("/")[0] for blob in sft.maintenance.sweep.blobs.list()} == {kept.id.value.hex}
    with sft.vault.find_file.begin(read_only=True) as unit:
        assert unit.files.get(file.id) is None
        assert unit.quotas.used(maya.id) == kept.size


def test_an_end_can_be_moved_and_taken_away(sft: Application, maya: User, file: File, clock: SettableClock) -> None:
    """As long as it has not come; each time it counts from now."""
    clock.advance(hours=1)
    moved = sft.vault.set_expiry(owner=maya.id, file_id=file.id, expires_hours=MAX_FILE_HOURS)
    assert moved == attrs.evolve(file, expires_at=clock.now() + timedelta(days=3650))
    clock.advance(days=3000)
    lasting = sft.vault.set_expiry(owner=maya.id, file_id=file.id, expires_hours=None)
    clock.advance(days=3000)
    assert sft.vault.find_file(owner=maya.id, file_id=file.id) == lasting == attrs.evolve(file, expires_at=None)


def test_a_sweep_that_comes_too_late_ends_nothing(
    sft: Application, maya: User, file: File, clock: SettableClock
) -> None:
    """Whose clock is behind moves the end of a file that a sweep has looked at already: the file stays."""
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    to_the_end(clock)
    clock.advance(hours=1)

    def should_continue() -> bool:
        clock.advance(hours=-2)
        sft.vault.set_expiry(owner=maya.id, file_id=file.id, expires_hours=9)
        clock.advance(hours=2)
        return True

    assert sft.maintenance.sweep(should_continue=should_continue).expired == 0
    assert begin.snapshot().files[file.id].state is FileState.SEALED


def test_an_end_that_comes_while_it_is_moved_stays(
    sft: Application, maya: User, file: File, clock: SettableClock
) -> None:
    """Whoever waits for the file's row until its end has come, with its old end before the eyes, does not move it."""
    early = SettableClock(clock.now())
    to_the_end(clock)
    set_expiry = attrs.evolve(sft.vault.set_expiry, find=attrs.evolve(sft.vault.find_file, clock=early))
    with pytest.raises(FileNotFound):
        set_expiry(owner=maya.id, file_id=file.id, expires_hours=None)
    with sft.vault.find_file.begin(read_only=True) as unit:
        assert unit.files.get(file.id) == file


def test_a_clock_that_is_an_hour_ahead_for_a_moment_destroys_nothing(
    sft: Application, maya: User, file: File, clock: SettableClock
) -> None:
    """By it the file is over; a sweep comes; when it is right again the file is there, for as long as it was to be."""
    to_the_end(clock, short_of=timedelta(minutes=1))
    clock.advance(hours=1)
    assert sft.maintenance.sweep() == SweepResult()
    assert listed(sft, maya) == []
    clock.advance(hours=-1)
    assert listed(sft, maya) == [file]


@pytest.mark.parametrize("hours", [0, -1, MAX_FILE_HOURS + 1])
def test_an_end_out_of_bounds_is_refused(sft: Application, maya: User, file: File, hours: int) -> None:
    """The one before stays."""
    with pytest.raises(InvalidValue, match="expires_hours"):
        sft.vault.set_expiry(owner=maya.id, file_id=file.id, expires_hours=hours)
    assert listed(sft, maya) == [file]


def test_the_end_is_its_owners_to_set(sft: Application, file: File) -> None:
    """Somebody else's file is not found, nor is one that never was."""
    other = register(sft, "other").id
    for owner in (other, UserId(file.id.value)):
        with pytest.raises(FileNotFound):
            sft.vault.set_expiry(owner=owner, file_id=file.id, expires_hours=None)


def test_what_made_it_is_not_answered_again(sft: Application, maya: User, clock: SettableClock) -> None:
    """A repeated request under an idempotency key is told that the result is gone, and so is a resumable upload."""
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=4)
    sft.vault.store_part(upload, b"once")
    request = IdempotentRequest(key=KEY, fingerprint=KEY.fingerprint("this"))
    made = sft.sharing.seal_upload(upload, idempotency=request)
    resumable = sft.vault.create_upload(
        owner=maya.id, request=UploadRequest(name=NAME, media_type=OCTET_STREAM, length=0)
    )
    sft.vault.finish_upload(owner=maya.id, file_id=resumable.file.id)
    for file_id in (made.file.id, resumable.file.id):
        sft.vault.set_expiry(owner=maya.id, file_id=file_id, expires_hours=2)
    to_the_end(clock)
    with pytest.raises(ResultGone):
        sft.sharing.find_idempotent_result(owner=maya.id, request=request)
    with pytest.raises(FileNotFound):
        sft.vault.find_upload(owner=maya.id, file_id=resumable.file.id)
