"""
Uploads that are broken off and gone on with: what was told is there, and one writes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import attrs
import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase
from sft_core.application import Application
from sft_core.errors import (
    BlobMissing,
    BlobStoreUnavailable,
    DatabaseUnavailable,
    FileNotFound,
    FileTooLarge,
    FileTypeNotAllowed,
    InvalidValue,
    OffsetMismatch,
    PartialUploadIncomplete,
    QuotaExceeded,
    UploadAborted,
    UploadIncomplete,
    UploadIsFinal,
    UploadLengthConflict,
    UploadTakenOver,
)
from sft_core.users.model import User
from sft_core.values import FileName, Page
from sft_core.vault.model import FileState, ShareTerms, UploadKind, VaultPolicy
from sft_core.vault.use_cases import TOUCH_INTERVAL
from support.app.library import LIGHT, CountingDatabase, FaultyBlobs, LostCommitDatabase, register
from support.app.resumable import (
    PART,
    acquire,
    add,
    asked,
    complete_upload,
    discard,
    found,
    in_small_parts,
    keys,
    manifest,
    read,
    record,
    recorded,
    store_provisionally,
    used,
)

CONTENT = bytes(range(75))


@pytest.fixture
def sft(clock: SettableClock) -> Application:
    return in_small_parts(memory_application(clock, LIGHT))


def finished(sft: Application, owner: User, content: bytes = CONTENT) -> None:
    """
    That these bytes are the owner's one file, and nothing else is stored or counted.
    """
    (file,) = sft.vault.list_files(owner=owner.id, page=Page())
    assert read(sft, owner, file.id) == content
    assert keys(sft) == recorded(sft)
    assert used(sft, owner) == len(content)


# --- the offset is a promise ---------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 3, 16, 75])
def test_what_comes_in_bites_is_a_file_with_its_last_byte(sft: Application, maya: User, chunk: int) -> None:
    """However small the bites, each in a request of its own: the offset is theirs, and the content whole."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(len(CONTENT))).file.id
    for start in range(0, len(CONTENT), chunk):
        piece = CONTENT[start : start + chunk]
        assert not sft.vault.finish_upload(owner=maya.id, file_id=upload).is_sealed
        add(sft, maya, upload, *(piece[at : at + PART] for at in range(0, len(piece), PART)))
        assert found(sft, maya, upload).offset == start + len(piece)
        assert keys(sft) == recorded(sft)
    for _ in range(2):
        progress = sft.vault.finish_upload(owner=maya.id, file_id=upload)
        assert (progress.is_sealed, progress.offset, progress.file.size) == (True, 75, 75)
    finished(sft, maya)


def test_small_bites_make_few_parts_and_little_work(sft: Application, maya: User) -> None:
    """Parts that are not full are merged like the digits of a counter: few are left, and few bytes come again."""
    chunks = 640
    upload = sft.vault.create_upload(owner=maya.id, request=asked(chunks)).file.id
    stored = 0
    for count in range(1, chunks + 1):
        add(sft, maya, upload, b"x")
        parts = manifest(sft.vault.store_part, upload)
        stored += parts[-1].size
        assert len(parts) <= count // PART + PART.bit_length()
    assert {part.size for part in manifest(sft.vault.store_part, upload)} == {PART}
    assert stored <= chunks * PART.bit_length()


def test_a_tail_that_would_not_fit_stays(sft: Application, maya: User) -> None:
    """Nothing is merged beyond the size of a part, and a larger part is not encrypted again for a smaller one."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(60)).file.id
    add(sft, maya, upload, bytes(9), bytes(8), bytes(3), bytes(16), bytes(4), bytes(5), bytes(9))
    assert [part.size for part in manifest(sft.vault.store_part, upload)] == [9, 8, 3, 16, 9, 9]


def test_an_upload_without_a_byte_is_a_file_at_once(sft: Application, maya: User) -> None:
    """It is complete from the beginning on."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(0)).file.id
    assert sft.vault.finish_upload(owner=maya.id, file_id=upload).is_sealed
    finished(sft, maya, b"")


def test_terms_and_the_link_come_with_the_last_byte(sft: Application, maya: User) -> None:
    """What was asked at the creation holds for the file, and a public one has its link at once."""
    terms = ShareTerms(max_downloads=3, expires_hours=5)
    public = attrs.evolve(asked(1), terms=terms, is_public=True)
    upload = sft.vault.create_upload(owner=maya.id, request=public).file.id
    add(sft, maya, upload, b"x")
    file = sft.vault.finish_upload(owner=maya.id, file_id=upload).file
    assert file.terms == terms
    summary = sft.sharing.summarise_links([file])[file.id]
    assert summary.token is not None


def test_bytes_move_the_row(sft: Application, maya: User, clock: SettableClock) -> None:
    """The time an upload may rest begins anew with each byte that comes, and not with a look at it."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(9)).file.id
    begun_at = clock.now()
    clock.advance(hours=1)
    acquire(sft, maya, upload, 0)
    assert found(sft, maya, upload).file.touched_at == begun_at
    add(sft, maya, upload, b"x")
    assert found(sft, maya, upload).file.touched_at == begun_at + timedelta(hours=1)


def test_bytes_that_wait_for_their_checksum_move_the_row(sft: Application, maya: User, clock: SettableClock) -> None:
    """Once a minute at most: a request that takes longer than an upload may rest is not given up under way."""
    idle, append = sft.vault.find_upload.idle, sft.vault.store_part
    assert isinstance(append.begin, MemoryDatabase)
    begin = CountingDatabase(append.begin)
    append = attrs.evolve(append, begin=begin)
    sft.vault.create_upload(owner=maya.id, request=asked(1))
    upload = sft.vault.create_upload(owner=maya.id, request=asked(40)).file.id
    add(sft, maya, upload, b"ab")
    session = acquire(sft, maya, upload, 2)
    for count, step in enumerate((TOUCH_INTERVAL, idle - TOUCH_INTERVAL, idle / 2)):
        clock.advance(microseconds=step / timedelta(microseconds=1))
        for _ in range(2):
            store_provisionally(append, session, b"xy")
        assert begin.changes == count + 1
        assert found(sft, maya, upload).file.touched_at == clock.now()
        assert sft.maintenance.sweep().given_up == (count == 1)
    record(append, session)
    assert found(sft, maya, upload).offset == 14


def test_whoever_has_lost_an_upload_keeps_it_alive_no_more(sft: Application, maya: User, clock: SettableClock) -> None:
    """Bytes that wait for a checksum move nobody else's row, and are told so; nothing of them stays."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(40)).file.id
    begun_at, hung = clock.now(), acquire(sft, maya, upload, 0)
    store_provisionally(sft.vault.store_part, hung, b"ab")
    acquire(sft, maya, upload, 0)
    clock.advance(minutes=2)
    with pytest.raises(UploadTakenOver):
        store_provisionally(sft.vault.store_part, hung, b"cd")
    discard(sft.vault.store_part, hung)
    assert found(sft, maya, upload).file.touched_at == begun_at
    assert keys(sft) == set()


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [("put", 0), ("read_into", 0), ("delete", 0)])
@pytest.mark.parametrize("after_effect", [False, True])
def test_a_store_that_fails_loses_nothing_that_was_told(
    sft: Application, maya: User, call: tuple[str, int], *, after_effect: bool
) -> None:
    """Whether the part is stored, read for merging or removed after it: what was acknowledged stays."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(8)).file.id
    add(sft, maya, upload, b"ab", b"c")
    blobs = FaultyBlobs(
        sft.vault.store_part.blobs, {call: BlobStoreUnavailable("no answer")}, after_effect=after_effect
    )
    append = attrs.evolve(sft.vault.store_part, blobs=blobs, read=attrs.evolve(sft.vault.store_part.read, blobs=blobs))
    session = acquire(sft, maya, upload, 3)
    if call[0] == "delete":
        append(session, b"de")
    else:
        with pytest.raises(BlobStoreUnavailable):
            append(session, b"de")
        assert found(sft, maya, upload).offset == 3
        add(sft, maya, upload, b"de")
    add(sft, maya, upload, b"fgh")
    sft.vault.finish_upload(owner=maya.id, file_id=upload)
    assert read(sft, maya, upload) == b"abcdefgh"


@pytest.mark.parametrize("happens", [False, True])
def test_a_commit_without_an_answer_takes_nothing_apart(sft: Application, maya: User, *, happens: bool) -> None:
    """Whether it happened or not: what the offset says afterwards is there to the last byte."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(4)).file.id
    add(sft, maya, upload, b"ab")
    begin = sft.vault.store_part.begin
    assert isinstance(begin, MemoryDatabase)
    append = attrs.evolve(sft.vault.store_part, begin=LostCommitDatabase(begin, 0, happens=happens))
    with pytest.raises(DatabaseUnavailable):
        append(acquire(sft, maya, upload, 2), b"cd")
    assert found(sft, maya, upload).offset == (4 if happens else 2)
    add(sft, maya, upload, b"" if happens else b"cd")
    sft.vault.finish_upload(owner=maya.id, file_id=upload)
    assert read(sft, maya, upload) == b"abcd"


def test_a_part_that_is_lost_is_told(sft: Application, maya: User) -> None:
    """Bytes that were acknowledged and are gone from the store are an error of their own, not of whoever writes."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(4)).file.id
    add(sft, maya, upload, b"ab")
    sft.vault.store_part.blobs.delete(manifest(sft.vault.store_part, upload)[0].blob_key)
    with pytest.raises(BlobMissing):
        add(sft, maya, upload, b"cd")


# --- one writes ----------------------------------------------------------------------------------


def test_whoever_is_late_writes_nothing(sft: Application, maya: User) -> None:
    """A request that hangs loses to the next one at once; its bytes neither land nor stay."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(6)).file.id
    hung = add(sft, maya, upload, b"ab")
    later = acquire(sft, maya, upload, 2)
    with pytest.raises(UploadTakenOver):
        sft.vault.store_part(hung, b"XY")
    sft.vault.store_part(later, b"cd")
    with pytest.raises(UploadTakenOver):
        sft.vault.store_part(hung, b"XY")
    sft.vault.store_part(later, b"ef")
    assert keys(sft) == recorded(sft)
    sft.vault.finish_upload(owner=maya.id, file_id=upload)
    finished(sft, maya, b"abcdef")


def test_whoever_is_late_cannot_read_what_was_merged(sft: Application, maya: User) -> None:
    """The parts that it would merge are gone, and it is told why: that it has lost the upload, or it has ended."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(9)).file.id
    hung = add(sft, maya, upload, b"a")
    add(sft, maya, upload, b"b")
    with pytest.raises(UploadTakenOver):
        sft.vault.store_part(hung, b"X")
    sft.vault.terminate_upload(owner=maya.id, file_id=upload)
    with pytest.raises(UploadAborted):
        sft.vault.store_part(hung, b"X")
    assert keys(sft) == set()


def test_a_refused_takeover_leaves_the_upload_to_whom_it_was(sft: Application, maya: User) -> None:
    """A request for another place, or with another length, takes nothing from anybody."""
    noor = register(sft, "noor")
    upload = sft.vault.create_upload(owner=maya.id, request=asked(6)).file.id
    session = add(sft, maya, upload, b"ab")
    for offset in (0, 1, 3, 6):
        with pytest.raises(OffsetMismatch) as told:
            acquire(sft, maya, upload, offset)
        assert told.value.offset == 2
    with pytest.raises(UploadLengthConflict):
        acquire(sft, maya, upload, 2, length=7)
    with pytest.raises(FileTooLarge):
        sft.vault.acquire_upload(owner=maya.id, file_id=upload, offset=2, incoming_bytes=5)
    with pytest.raises(FileNotFound):
        acquire(sft, noor, upload, 2)
    sft.vault.store_part(session, b"cdef")
    assert found(sft, maya, upload).is_complete


def test_bytes_that_wait_for_their_checksum_are_nobodys(sft: Application, maya: User) -> None:
    """Until they are recorded they do not count; taken back, they leave nothing."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(40)).file.id
    session = add(sft, maya, upload, b"ab")
    for chunk in (bytes(16), bytes(10)):
        store_provisionally(sft.vault.store_part, session, chunk)
    assert found(sft, maya, upload).offset == 2
    discard(sft.vault.store_part, session)
    assert keys(sft) == recorded(sft)
    store_provisionally(sft.vault.store_part, session, b"cd")
    store_provisionally(sft.vault.store_part, session, bytes(16))
    with pytest.raises(FileTooLarge):
        store_provisionally(sft.vault.store_part, session, bytes(21))
    record(sft.vault.store_part, session)
    assert found(sft, maya, upload).offset == 20
    assert keys(sft) == recorded(sft)


def test_a_part_is_not_counted_before_the_one_it_follows(sft: Application, maya: User) -> None:
    """A gap is refused and its part removed, so that what is recorded has none. Each tells when it is encrypted."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(11)).file.id
    session, append = acquire(sft, maya, upload, 0), sft.vault.store_part
    first = append.allocate(session, 5)
    second = append.allocate(session, 6, after=first)
    with pytest.raises(UploadIncomplete):
        append.accept(session, append.put(session, second, b" after"))
    append.delete_orphans(session)
    assert keys(sft) == set()
    encrypted = list[int]()
    for slot, content in ((first, b"first"), (second, b" after")):
        part = append.put(session, slot, content, on_encrypted=partial(encrypted.append, slot.number))
        append.accept(session, part, is_followed=True)
    assert encrypted == [0, 1]
    record(append, session)
    sft.vault.finish_upload(owner=maya.id, file_id=upload)
    finished(sft, maya, b"first after")


# --- who, how much, of which type -----------------------------------------------------------------


def test_another_ones_upload_is_not_there(sft: Application, maya: User) -> None:
    """Whatever is asked of it; and a file that came by a form is no upload."""
    noor = register(sft, "noor")
    upload = complete_upload(sft, maya, b"ab")
    file = sft.vault.store_file(owner=maya.id, name=FileName.parse("form.txt"), content=[b"x"])
    for owner, upload_id in ((noor, upload), (maya, file.id)):
        calls: list[Callable[[], object]] = [
            lambda owner=owner, upload_id=upload_id: found(sft, owner, upload_id),  # type: ignore[misc]  # no type for a bound default
            lambda owner=owner, upload_id=upload_id: acquire(sft, owner, upload_id, 0),  # type: ignore[misc]  # no type for a bound default
            lambda o=owner, u=upload_id: sft.vault.finish_upload(owner=o.id, file_id=u),  # type: ignore[misc]  # no type for a bound default
            lambda o=owner, u=upload_id: sft.vault.terminate_upload(owner=o.id, file_id=u),  # type: ignore[misc]  # no type for a bound default
        ]
        for call in calls:
            with pytest.raises(FileNotFound):
                call()
    assert found(sft, maya, upload).offset == 2


def limited(clock: SettableClock, **environ: str) -> Application:
    return in_small_parts(memory_application(clock, {**LIGHT, **environ}))


def test_no_upload_grows_beyond_the_largest_file(clock: SettableClock) -> None:
    """Neither by its announced length nor by its bytes, nor by a length that is announced late."""
    sft = limited(clock, MAX_FILE_SIZE="10")
    maya = register(sft, "maya")
    with pytest.raises(FileTooLarge):
        sft.vault.create_upload(owner=maya.id, request=asked(11))
    upload = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id
    session = add(sft, maya, upload, bytes(8))
    with pytest.raises(FileTooLarge):
        sft.vault.store_part(session, bytes(3))
    with pytest.raises(FileTooLarge):
        acquire(sft, maya, upload, 8, length=11)
    sft.vault.store_part(acquire(sft, maya, upload, 8, length=10), bytes(2))
    assert sft.vault.finish_upload(owner=maya.id, file_id=upload).is_sealed
    finished(sft, maya, bytes(10))


def test_a_quota_is_held_from_the_announcement_on_or_byte_by_byte(clock: SettableClock) -> None:
    """What does not fit beside the others is refused before it is kept, and an end gives everything back."""
    sft = limited(clock, USER_QUOTA="20")
    maya = register(sft, "maya")
    announced = sft.vault.create_upload(owner=maya.id, request=asked(12)).file.id
    assert used(sft, maya) == 12
    with pytest.raises(QuotaExceeded):
        sft.vault.create_upload(owner=maya.id, request=asked(9))
    open_ended = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id
    session = add(sft, maya, open_ended, bytes(8))
    assert used(sft, maya) == 20
    with pytest.raises(QuotaExceeded) as told:
        sft.vault.store_part(session, b"x")
    assert (told.value.quota, told.value.used) == (20, 12)
    assert keys(sft) == recorded(sft)
    with pytest.raises(QuotaExceeded):
        acquire(sft, maya, open_ended, 8, length=9)
    sft.vault.terminate_upload(owner=maya.id, file_id=announced)
    assert used(sft, maya) == 8
    acquire(sft, maya, open_ended, 8, length=20)
    assert used(sft, maya) == 20


def test_bytes_that_wait_for_their_checksum_hold_their_quota(clock: SettableClock) -> None:
    """Each from when it came; what does not fit is refused before it is stored, and what is dropped is given back."""
    sft = limited(clock, USER_QUOTA="50")
    maya = register(sft, "maya")
    complete_upload(sft, maya, bytes(10))
    upload = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id
    add(sft, maya, upload, bytes(5))
    session = acquire(sft, maya, upload, 5)
    for size in (21, 37):
        store_provisionally(sft.vault.store_part, session, bytes(16))
        assert used(sft, maya) == 10 + size
    stored = keys(sft)
    with pytest.raises(QuotaExceeded) as told:
        store_provisionally(sft.vault.store_part, session, bytes(4))
    assert (told.value.quota, told.value.used) == (50, 10)
    assert keys(sft) == stored
    discard(sft.vault.store_part, session)
    assert (used(sft, maya), keys(sft)) == (15, recorded(sft))
    store_provisionally(sft.vault.store_part, session, bytes(16))
    record(sft.vault.store_part, session)
    assert (used(sft, maya), keys(sft)) == (31, recorded(sft))


def test_where_there_is_plenty_of_it_the_quota_is_asked_seldom(sft: Application, maya: User) -> None:
    """In growing steps, that are given back with what is recorded, or dropped."""
    assert isinstance(sft.vault.store_part.begin, MemoryDatabase)
    begin = CountingDatabase(sft.vault.store_part.begin)
    append = attrs.evolve(sft.vault.store_part, begin=begin, policy=VaultPolicy(max_file_size=1 << 40, quota=1 << 40))
    for end, left in ((record, 60 * PART), (discard, 0)):
        upload, begin.changes = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id, 0
        session, before = acquire(sft, maya, upload, 0), used(sft, maya)
        for _ in range(60):
            store_provisionally(append, session, bytes(PART))
        assert (begin.changes, used(sft, maya) - before) == (5, 62 * PART)
        end(append, session)
        assert (used(sft, maya) - before, keys(sft)) == (left, recorded(sft))


def test_what_a_lost_writer_held_is_given_back_by_the_next_one(sft: Application, maya: User) -> None:
    """And not again by the lost one, should it still be there: then it is the other's."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id
    lost = add(sft, maya, upload, b"ab")
    store_provisionally(sft.vault.store_part, lost, bytes(PART))
    assert used(sft, maya) > PART
    later = acquire(sft, maya, upload, 2)
    assert used(sft, maya) == 2
    store_provisionally(sft.vault.store_part, later, bytes(5))
    held = used(sft, maya)
    with pytest.raises(UploadTakenOver):
        store_provisionally(sft.vault.store_part, lost, bytes(2 * PART))
    discard(sft.vault.store_part, lost)
    assert used(sft, maya) == held
    record(sft.vault.store_part, later)
    assert (used(sft, maya), keys(sft)) == (7, recorded(sft))


def test_what_is_held_for_dropped_bytes_is_given_back_later_if_not_now(sft: Application, maya: User) -> None:
    """A database that is away keeps nobody from being told why the bytes were dropped."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id
    assert isinstance(sft.vault.store_part.begin, MemoryDatabase)
    begin = LostCommitDatabase(sft.vault.store_part.begin, 1, happens=False)
    session, append = acquire(sft, maya, upload, 0), attrs.evolve(sft.vault.store_part, begin=begin)
    store_provisionally(append, session, b"ab")
    discard(append, session)
    assert (used(sft, maya) > 0, keys(sft)) == (True, set())
    acquire(sft, maya, upload, 0)
    assert used(sft, maya) == 0


def test_what_cannot_fit_is_refused_before_it_comes(clock: SettableClock) -> None:
    """Also of an open length, by what one request announces; the upload stays with whom it was."""
    sft = limited(clock, USER_QUOTA="60", MAX_FILE_SIZE="40")
    maya = register(sft, "maya")
    complete_upload(sft, maya, bytes(30))
    upload = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id
    session = add(sft, maya, upload, bytes(10))
    with pytest.raises(FileTooLarge):
        sft.vault.acquire_upload(owner=maya.id, file_id=upload, offset=10, incoming_bytes=31)
    with pytest.raises(QuotaExceeded) as told:
        sft.vault.acquire_upload(owner=maya.id, file_id=upload, offset=10, incoming_bytes=21)
    assert (told.value.quota, told.value.used) == (60, 30)
    sft.vault.store_part(session, bytes(10))
    sft.vault.store_part(
        sft.vault.acquire_upload(owner=maya.id, file_id=upload, offset=20, incoming_bytes=10), bytes(10)
    )


def test_types_are_looked_at_before_anything_is_stored(clock: SettableClock) -> None:
    """A piece has no type; the file that is made of pieces has one."""
    sft = limited(clock, ALLOWED_EXTENSIONS=".pdf")
    maya = register(sft, "maya")
    with pytest.raises(FileTypeNotAllowed):
        sft.vault.create_upload(owner=maya.id, request=asked(1))
    piece = complete_upload(sft, maya, b"x", kind=UploadKind.PARTIAL)
    final = asked(None, UploadKind.FINAL, piece)
    with pytest.raises(FileTypeNotAllowed):
        sft.vault.concatenate_uploads(owner=maya.id, request=final)
    sft.vault.concatenate_uploads(owner=maya.id, request=attrs.evolve(final, name=FileName.parse("a.pdf")))


def test_a_length_is_announced_once_and_covers_what_has_come(sft: Application, maya: User) -> None:
    """The same one again is no contradiction; less than has come is wrong."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id
    add(sft, maya, upload, b"abc")
    assert not found(sft, maya, upload).is_complete
    with pytest.raises(InvalidValue):
        acquire(sft, maya, upload, 3, length=2)
    for _ in range(2):
        acquire(sft, maya, upload, 3, length=3)
    with pytest.raises(UploadLengthConflict):
        acquire(sft, maya, upload, 3, length=4)
    assert sft.vault.finish_upload(owner=maya.id, file_id=upload).is_sealed


# --- ends ----------------------------------------------------------------------------------------


def test_an_upload_that_is_ended_leaves_nothing(sft: Application, maya: User) -> None:
    """Neither bytes nor rows, and whoever still writes is told so; a file that came of one is deleted."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(9)).file.id
    session = add(sft, maya, upload, b"abc")
    sft.vault.terminate_upload(owner=maya.id, file_id=upload)
    with pytest.raises(UploadAborted):
        sft.vault.store_part(session, bytes(5))
    whole = complete_upload(sft, maya, b"abc")
    sft.vault.finish_upload(owner=maya.id, file_id=whole)
    sft.vault.terminate_upload(owner=maya.id, file_id=whole)
    for gone in (upload, whole):
        with pytest.raises(FileNotFound):
            found(sft, maya, gone)
    assert keys(sft) == set()
    assert used(sft, maya) == 0


# --- putting together ------------------------------------------------------------------------------


def test_pieces_become_one_file_of_its_own_key(sft: Application, maya: User) -> None:
    """In the order that is asked for, as often as it is; then the pieces are gone."""
    first, second, empty = (
        complete_upload(sft, maya, piece, kind=UploadKind.PARTIAL) for piece in (CONTENT, b"tail", b"")
    )
    assert not sft.vault.finish_upload(owner=maya.id, file_id=first).is_sealed
    final = asked(None, UploadKind.FINAL, second, first, empty, second)
    under_way = sft.vault.concatenate_uploads(owner=maya.id, request=final)
    assert used(sft, maya) == 2 * 75 + 3 * 4
    with pytest.raises(UploadIsFinal):
        acquire(sft, maya, under_way.progress.file.id, 0)
    while sft.vault.concatenate_uploads.step(under_way):
        pass
    file = sft.vault.concatenate_uploads.finish(under_way)
    assert found(sft, maya, file.id).upload.sources == (second, first, empty, second)
    finished(sft, maya, b"tail" + CONTENT + b"tail")


def test_pieces_that_are_not_fit_are_refused(sft: Application, maya: User) -> None:
    """Unfinished, of open length, no piece, another's, unknown: nothing is begun, and the pieces stay."""
    noor = register(sft, "noor")
    fit = complete_upload(sft, maya, b"x", kind=UploadKind.PARTIAL)
    short = sft.vault.create_upload(owner=maya.id, request=asked(2, UploadKind.PARTIAL)).file.id
    open_ended = sft.vault.create_upload(owner=maya.id, request=asked(None, UploadKind.PARTIAL)).file.id
    whole = complete_upload(sft, maya, b"x")
    others = complete_upload(sft, noor, b"x", kind=UploadKind.PARTIAL)
    before = used(sft, maya), keys(sft)
    for wrong, error in (
        (short, PartialUploadIncomplete),
        (open_ended, PartialUploadIncomplete),
        (whole, PartialUploadIncomplete),
    ):
        with pytest.raises(error):
            sft.vault.concatenate_uploads(owner=maya.id, request=asked(None, UploadKind.FINAL, fit, wrong))
    with pytest.raises(FileNotFound):
        sft.vault.concatenate_uploads(owner=maya.id, request=asked(None, UploadKind.FINAL, fit, others))
    assert (used(sft, maya), keys(sft)) == before


def test_a_final_upload_that_is_given_up_leaves_the_pieces(sft: Application, maya: User) -> None:
    """Nothing of it stays, and the same pieces can be put together again."""
    piece = complete_upload(sft, maya, CONTENT, kind=UploadKind.PARTIAL)
    final = asked(None, UploadKind.FINAL, piece)
    given_up = sft.vault.concatenate_uploads(owner=maya.id, request=final)
    sft.vault.concatenate_uploads.step(given_up)
    sft.vault.abort_upload(given_up.upload)
    assert keys(sft) == recorded(sft)
    assert used(sft, maya) == len(CONTENT)
    under_way = sft.vault.concatenate_uploads(owner=maya.id, request=final)
    while sft.vault.concatenate_uploads.step(under_way):
        pass
    assert sft.vault.concatenate_uploads.finish(under_way).state is FileState.SEALED
    finished(sft, maya)
