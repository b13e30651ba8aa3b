"""
File expiry set by an owner: from then on no request finds the file, swept or not.
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
    A file that expires in two hours.
    """
    stored = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"brief"])
    return sft.vault.set_expiry(owner=maya.id, file_id=stored.id, expires_hours=2)


def listed(sft: Application, owner: User) -> list[File]:
    return list(sft.vault.list_files(owner=owner.id, page=Page()))


def advance_to_expiry(clock: SettableClock, *, before: timedelta = timedelta(0)) -> None:
    clock.advance(seconds=7200 - before.total_seconds())


def test_file_before_its_expiry_is_like_any_other(
    sft: Application, maya: User, file: File, clock: SettableClock
) -> None:
    """Until its last microsecond it is found, listed, read and shared, and a sweep keeps it."""
    assert file.expires_at == clock.now() + timedelta(hours=2)
    advance_to_expiry(clock, before=TICK)
    assert sft.maintenance.sweep() == SweepResult()
    assert sft.vault.find_file(owner=maya.id, file_id=file.id) == file
    assert listed(sft, maya) == [file]
    token = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id).token
    assert b"".join(map(bytes, sft.vault.read_file(sft.sharing.redeem_share_link(token=token)))) == b"brief"


@pytest.mark.parametrize("is_swept", [False, True])
def test_expired_file_is_not_found(
    sft: Application, maya: User, file: File, clock: SettableClock, *, is_swept: bool
) -> None:
    """Its owner and its recipients get errors, the link spends no download, and a sweep makes no difference."""
    # The link is older than the file's expiry and would last for a month.
    sft.vault.set_expiry(owner=maya.id, file_id=file.id, expires_hours=None)
    token = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, expires_hours=720, max_downloads=1).token
    sft.vault.set_expiry(owner=maya.id, file_id=file.id, expires_hours=2)
    advance_to_expiry(clock)
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


def test_revoked_link_of_an_expired_file_reports_its_revocation(
    sft: Application, maya: User, file: File, clock: SettableClock
) -> None:
    """Revocation is reported even if the file has expired as well."""
    token = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id).token
    sft.sharing.revoke_share_link(owner=maya.id, token=token)
    advance_to_expiry(clock)
    with pytest.raises(LinkRevoked):
        sft.sharing.redeem_share_link(token=token)


def test_sweep_deletes_an_expired_file(sft: Application, maya: User, file: File, clock: SettableClock) -> None:
    """Key, parts, rows and reservation are deleted an hour after expiry; other files stay, a dry run only reports."""
    kept = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"for long"])
    advance_to_expiry(clock)
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


def test_expiry_can_be_moved_and_removed(sft: Application, maya: User, file: File, clock: SettableClock) -> None:
    """The expiry can be moved or removed before it is reached, and always counts from now."""
    clock.advance(hours=1)
    moved = sft.vault.set_expiry(owner=maya.id, file_id=file.id, expires_hours=MAX_FILE_HOURS)
    assert moved == attrs.evolve(file, expires_at=clock.now() + timedelta(days=3650))
    clock.advance(days=3000)
    lasting = sft.vault.set_expiry(owner=maya.id, file_id=file.id, expires_hours=None)
    clock.advance(days=3000)
    assert sft.vault.find_file(owner=maya.id, file_id=file.id) == lasting == attrs.evolve(file, expires_at=None)


def test_sweep_keeps_a_file_whose_expiry_moved(sft: Application, maya: User, file: File, clock: SettableClock) -> None:
    """The owner moves the expiry, by a slower clock, after the sweep selected the file: the file stays."""
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    advance_to_expiry(clock)
    clock.advance(hours=1)

    def should_continue() -> bool:
        clock.advance(hours=-2)
        sft.vault.set_expiry(owner=maya.id, file_id=file.id, expires_hours=9)
        clock.advance(hours=2)
        return True

    assert sft.maintenance.sweep(should_continue=should_continue).expired == 0
    assert begin.snapshot().files[file.id].state is FileState.SEALED


def test_expiry_that_passes_during_a_change_stays(
    sft: Application, maya: User, file: File, clock: SettableClock
) -> None:
    """A request that waits for the file's row until the expiry has passed cannot move it."""
    early = SettableClock(clock.now())
    advance_to_expiry(clock)
    set_expiry = attrs.evolve(sft.vault.set_expiry, find=attrs.evolve(sft.vault.find_file, clock=early))
    with pytest.raises(FileNotFound):
        set_expiry(owner=maya.id, file_id=file.id, expires_hours=None)
    with sft.vault.find_file.begin(read_only=True) as unit:
        assert unit.files.get(file.id) == file


def test_clock_an_hour_ahead_deletes_nothing(sft: Application, maya: User, file: File, clock: SettableClock) -> None:
    """The file disappears while the clock is ahead; a sweep keeps it, and it is found again when the clock is right."""
    advance_to_expiry(clock, before=timedelta(minutes=1))
    clock.advance(hours=1)
    assert sft.maintenance.sweep() == SweepResult()
    assert listed(sft, maya) == []
    clock.advance(hours=-1)
    assert listed(sft, maya) == [file]


@pytest.mark.parametrize("hours", [0, -1, MAX_FILE_HOURS + 1])
def test_expiry_out_of_bounds_is_refused(sft: Application, maya: User, file: File, hours: int) -> None:
    """The previous expiry stays."""
    with pytest.raises(InvalidValue, match="expires_hours"):
        sft.vault.set_expiry(owner=maya.id, file_id=file.id, expires_hours=hours)
    assert listed(sft, maya) == [file]


def test_only_the_owner_sets_the_expiry(sft: Application, file: File) -> None:
    """Another owner's file and an unknown file are both not found."""
    other = register(sft, "other").id
    for owner in (other, UserId(file.id.value)):
        with pytest.raises(FileNotFound):
            sft.vault.set_expiry(owner=owner, file_id=file.id, expires_hours=None)


def test_repeated_request_does_not_return_an_expired_file(sft: Application, maya: User, clock: SettableClock) -> None:
    """A repeated idempotent request raises ResultGone, and the resumable upload is not found."""
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
    advance_to_expiry(clock)
    with pytest.raises(ResultGone):
        sft.sharing.find_idempotent_result(owner=maya.id, request=request)
    with pytest.raises(FileNotFound):
        sft.vault.find_upload(owner=maya.id, file_id=resumable.file.id)
