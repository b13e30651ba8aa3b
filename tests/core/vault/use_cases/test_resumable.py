"""
Interrupted and resumed uploads: acknowledged bytes are stored, and one writer appends at a time.
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


def assert_only_file(sft: Application, owner: User, content: bytes = CONTENT) -> None:
    """
    Assert that these bytes are the owner's only file, and that nothing else is stored or counted.
    """
    (file,) = sft.vault.list_files(owner=owner.id, page=Page())
    assert read(sft, owner, file.id) == content
    assert keys(sft) == recorded(sft)
    assert used(sft, owner) == len(content)


# --- the offset ----------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 3, 16, 75])
def test_upload_in_chunks_of_any_size_becomes_a_file(sft: Application, maya: User, chunk: int) -> None:
    """However small the chunks, each request advances the offset by its bytes, and the content is complete."""
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
    assert_only_file(sft, maya)


def test_small_chunks_make_few_parts_and_few_rewritten_bytes(sft: Application, maya: User) -> None:
    """Partial parts are merged like the digits of a counter: few remain, and few bytes are rewritten."""
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


def test_tail_beyond_the_part_size_is_not_merged(sft: Application, maya: User) -> None:
    """Nothing is merged beyond the part size, and a larger part is not re-encrypted for a smaller one."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(60)).file.id
    add(sft, maya, upload, bytes(9), bytes(8), bytes(3), bytes(16), bytes(4), bytes(5), bytes(9))
    assert [part.size for part in manifest(sft.vault.store_part, upload)] == [9, 8, 3, 16, 9, 9]


def test_empty_upload_is_a_file_at_once(sft: Application, maya: User) -> None:
    """An empty upload is complete when it is created."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(0)).file.id
    assert sft.vault.finish_upload(owner=maya.id, file_id=upload).is_sealed
    assert_only_file(sft, maya, b"")


def test_last_byte_seals_with_terms_and_link(sft: Application, maya: User) -> None:
    """The file gets the terms of the creation request, and a public file gets its link at the seal."""
    terms = ShareTerms(max_downloads=3, expires_hours=5)
    public = attrs.evolve(asked(1), terms=terms, is_public=True)
    upload = sft.vault.create_upload(owner=maya.id, request=public).file.id
    add(sft, maya, upload, b"x")
    file = sft.vault.finish_upload(owner=maya.id, file_id=upload).file
    assert file.terms == terms
    summary = sft.sharing.summarise_links([file])[file.id]
    assert summary.token is not None


def test_stored_bytes_update_touched_at(sft: Application, maya: User, clock: SettableClock) -> None:
    """Each stored byte restarts the idle time; acquiring the upload does not."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(9)).file.id
    created_at = clock.now()
    clock.advance(hours=1)
    acquire(sft, maya, upload, 0)
    assert found(sft, maya, upload).file.touched_at == created_at
    add(sft, maya, upload, b"x")
    assert found(sft, maya, upload).file.touched_at == created_at + timedelta(hours=1)


def test_provisional_bytes_update_touched_at(sft: Application, maya: User, clock: SettableClock) -> None:
    """`touched_at` is updated at most once a minute, so a request longer than the idle time is not aborted."""
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


def test_excluded_writer_does_not_update_touched_at(sft: Application, maya: User, clock: SettableClock) -> None:
    """Its provisional bytes raise an error, do not update `touched_at`, and are deleted."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(40)).file.id
    created_at, hung = clock.now(), acquire(sft, maya, upload, 0)
    store_provisionally(sft.vault.store_part, hung, b"ab")
    acquire(sft, maya, upload, 0)
    clock.advance(minutes=2)
    with pytest.raises(UploadTakenOver):
        store_provisionally(sft.vault.store_part, hung, b"cd")
    discard(sft.vault.store_part, hung)
    assert found(sft, maya, upload).file.touched_at == created_at
    assert keys(sft) == set()


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [("put", 0), ("read_into", 0), ("delete", 0)])
@pytest.mark.parametrize("after_effect", [False, True])
def test_store_failure_loses_no_acknowledged_byte(
    sft: Application, maya: User, call: tuple[str, int], *, after_effect: bool
) -> None:
    """Whether storing, reading for a merge or deleting fails, every acknowledged byte stays."""
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
def test_commit_in_doubt_loses_no_acknowledged_byte(sft: Application, maya: User, *, happens: bool) -> None:
    """Whether the commit happened or not, every byte up to the reported offset is stored."""
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


def test_lost_part_is_reported(sft: Application, maya: User) -> None:
    """Loss of acknowledged bytes raises an error of its own, not one that blames the client."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(4)).file.id
    add(sft, maya, upload, b"ab")
    sft.vault.store_part.blobs.delete(manifest(sft.vault.store_part, upload)[0].blob_key)
    with pytest.raises(BlobMissing):
        add(sft, maya, upload, b"cd")


# --- one writer ----------------------------------------------------------------------------------


def test_excluded_writer_stores_nothing(sft: Application, maya: User) -> None:
    """The next request excludes a hanging one at once; bytes of the hanging one are neither counted nor kept."""
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
    assert_only_file(sft, maya, b"abcdef")


def test_excluded_writer_cannot_read_merged_parts(sft: Application, maya: User) -> None:
    """Its parts to merge are deleted, and the error says why: upload taken over, or aborted."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(9)).file.id
    hung = add(sft, maya, upload, b"a")
    add(sft, maya, upload, b"b")
    with pytest.raises(UploadTakenOver):
        sft.vault.store_part(hung, b"X")
    sft.vault.terminate_upload(owner=maya.id, file_id=upload)
    with pytest.raises(UploadAborted):
        sft.vault.store_part(hung, b"X")
    assert keys(sft) == set()


def test_refused_takeover_keeps_the_current_writer(sft: Application, maya: User) -> None:
    """A request with the wrong offset, length or owner does not exclude the current writer."""
    noor = register(sft, "noor")
    upload = sft.vault.create_upload(owner=maya.id, request=asked(6)).file.id
    session = add(sft, maya, upload, b"ab")
    for offset in (0, 1, 3, 6):
        with pytest.raises(OffsetMismatch) as refused:
            acquire(sft, maya, upload, offset)
        assert refused.value.offset == 2
    with pytest.raises(UploadLengthConflict):
        acquire(sft, maya, upload, 2, length=7)
    with pytest.raises(FileTooLarge):
        sft.vault.acquire_upload(owner=maya.id, file_id=upload, offset=2, incoming_bytes=5)
    with pytest.raises(FileNotFound):
        acquire(sft, noor, upload, 2)
    sft.vault.store_part(session, b"cdef")
    assert found(sft, maya, upload).is_complete


def test_provisional_bytes_do_not_count(sft: Application, maya: User) -> None:
    """Provisional bytes do not count until they are recorded; discarding them deletes them."""
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


def test_part_after_a_gap_is_refused(sft: Application, maya: User) -> None:
    """A gap is refused and its part deleted, so the manifest has none; each part reports when it is encrypted."""
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
    assert_only_file(sft, maya, b"first after")


# --- owner, size, type ----------------------------------------------------------------------------


def test_upload_of_another_owner_is_not_found(sft: Application, maya: User) -> None:
    """Every call on another owner's upload, or on a file from a form, raises FileNotFound."""
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


def test_upload_beyond_the_largest_file_is_refused(clock: SettableClock) -> None:
    """The announced length, the bytes and a length announced later are all limited."""
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
    assert_only_file(sft, maya, bytes(10))


def test_quota_is_reserved_by_announcement_or_by_byte(clock: SettableClock) -> None:
    """What exceeds the quota is refused before it is stored, and termination releases the reservation."""
    sft = limited(clock, USER_QUOTA="20")
    maya = register(sft, "maya")
    announced = sft.vault.create_upload(owner=maya.id, request=asked(12)).file.id
    assert used(sft, maya) == 12
    with pytest.raises(QuotaExceeded):
        sft.vault.create_upload(owner=maya.id, request=asked(9))
    open_ended = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id
    session = add(sft, maya, open_ended, bytes(8))
    assert used(sft, maya) == 20
    with pytest.raises(QuotaExceeded) as refused:
        sft.vault.store_part(session, b"x")
    assert (refused.value.quota, refused.value.used) == (20, 12)
    assert keys(sft) == recorded(sft)
    with pytest.raises(QuotaExceeded):
        acquire(sft, maya, open_ended, 8, length=9)
    sft.vault.terminate_upload(owner=maya.id, file_id=announced)
    assert used(sft, maya) == 8
    acquire(sft, maya, open_ended, 8, length=20)
    assert used(sft, maya) == 20


def test_provisional_bytes_reserve_quota(clock: SettableClock) -> None:
    """Provisional bytes are reserved when they arrive; what exceeds the quota is not stored, a discard releases it."""
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
    with pytest.raises(QuotaExceeded) as refused:
        store_provisionally(sft.vault.store_part, session, bytes(4))
    assert (refused.value.quota, refused.value.used) == (50, 10)
    assert keys(sft) == stored
    discard(sft.vault.store_part, session)
    assert (used(sft, maya), keys(sft)) == (15, recorded(sft))
    store_provisionally(sft.vault.store_part, session, bytes(16))
    record(sft.vault.store_part, session)
    assert (used(sft, maya), keys(sft)) == (31, recorded(sft))


def test_large_free_quota_is_reserved_in_few_steps(sft: Application, maya: User) -> None:
    """The reservation grows in increasing steps; recording or discarding releases the excess."""
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


def test_reservation_of_an_excluded_writer_is_released_by_the_next(sft: Application, maya: User) -> None:
    """The excluded writer does not release it a second time, because it then belongs to the new writer."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id
    lost = add(sft, maya, upload, b"ab")
    store_provisionally(sft.vault.store_part, lost, bytes(PART))
    assert used(sft, maya) > PART
    later = acquire(sft, maya, upload, 2)
    assert used(sft, maya) == 2
    store_provisionally(sft.vault.store_part, later, bytes(5))
    reserved = used(sft, maya)
    with pytest.raises(UploadTakenOver):
        store_provisionally(sft.vault.store_part, lost, bytes(2 * PART))
    discard(sft.vault.store_part, lost)
    assert used(sft, maya) == reserved
    record(sft.vault.store_part, later)
    assert (used(sft, maya), keys(sft)) == (7, recorded(sft))


def test_reservation_of_discarded_bytes_is_released_later_after_a_failure(sft: Application, maya: User) -> None:
    """An unavailable database does not hide the original error; the next writer releases the reservation."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id
    assert isinstance(sft.vault.store_part.begin, MemoryDatabase)
    begin = LostCommitDatabase(sft.vault.store_part.begin, 1, happens=False)
    session, append = acquire(sft, maya, upload, 0), attrs.evolve(sft.vault.store_part, begin=begin)
    store_provisionally(append, session, b"ab")
    discard(append, session)
    assert (used(sft, maya) > 0, keys(sft)) == (True, set())
    acquire(sft, maya, upload, 0)
    assert used(sft, maya) == 0


def test_request_beyond_the_limits_is_refused_before_its_bytes(clock: SettableClock) -> None:
    """Also with an open length, the announced size of one request is checked; the current writer keeps the upload."""
    sft = limited(clock, USER_QUOTA="60", MAX_FILE_SIZE="40")
    maya = register(sft, "maya")
    complete_upload(sft, maya, bytes(30))
    upload = sft.vault.create_upload(owner=maya.id, request=asked(None)).file.id
    session = add(sft, maya, upload, bytes(10))
    with pytest.raises(FileTooLarge):
        sft.vault.acquire_upload(owner=maya.id, file_id=upload, offset=10, incoming_bytes=31)
    with pytest.raises(QuotaExceeded) as refused:
        sft.vault.acquire_upload(owner=maya.id, file_id=upload, offset=10, incoming_bytes=21)
    assert (refused.value.quota, refused.value.used) == (60, 30)
    sft.vault.store_part(session, bytes(10))
    sft.vault.store_part(
        sft.vault.acquire_upload(owner=maya.id, file_id=upload, offset=20, incoming_bytes=10), bytes(10)
    )


def test_type_is_checked_before_anything_is_stored(clock: SettableClock) -> None:
    """Partial uploads have no type; the file concatenated from them has one."""
    sft = limited(clock, ALLOWED_EXTENSIONS=".pdf")
    maya = register(sft, "maya")
    with pytest.raises(FileTypeNotAllowed):
        sft.vault.create_upload(owner=maya.id, request=asked(1))
    piece = complete_upload(sft, maya, b"x", kind=UploadKind.PARTIAL)
    final = asked(None, UploadKind.FINAL, piece)
    with pytest.raises(FileTypeNotAllowed):
        sft.vault.concatenate_uploads(owner=maya.id, request=final)
    sft.vault.concatenate_uploads(owner=maya.id, request=attrs.evolve(final, name=FileName.parse("a.pdf")))


def test_length_is_announced_once_and_not_below_the_offset(sft: Application, maya: User) -> None:
    """Repeating the same length is allowed; a length below the offset is invalid."""
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


# --- termination ---------------------------------------------------------------------------------


def test_terminated_upload_leaves_nothing(sft: Application, maya: User) -> None:
    """Bytes and rows are deleted, a later write raises an error, and a finished file is deleted as well."""
    upload = sft.vault.create_upload(owner=maya.id, request=asked(9)).file.id
    session = add(sft, maya, upload, b"abc")
    sft.vault.terminate_upload(owner=maya.id, file_id=upload)
    with pytest.raises(UploadAborted):
        sft.vault.store_part(session, bytes(5))
    complete = complete_upload(sft, maya, b"abc")
    sft.vault.finish_upload(owner=maya.id, file_id=complete)
    sft.vault.terminate_upload(owner=maya.id, file_id=complete)
    for terminated in (upload, complete):
        with pytest.raises(FileNotFound):
            found(sft, maya, terminated)
    assert keys(sft) == set()
    assert used(sft, maya) == 0


# --- concatenation ---------------------------------------------------------------------------------


def test_partial_uploads_become_one_file_with_its_own_key(sft: Application, maya: User) -> None:
    """Sources are read in the requested order, also repeatedly, and are deleted afterwards."""
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
    assert_only_file(sft, maya, b"tail" + CONTENT + b"tail")


def test_unsuitable_sources_are_refused(sft: Application, maya: User) -> None:
    """Incomplete, open-length, non-partial and other owners' sources are refused; nothing changes."""
    noor = register(sft, "noor")
    fit = complete_upload(sft, maya, b"x", kind=UploadKind.PARTIAL)
    short = sft.vault.create_upload(owner=maya.id, request=asked(2, UploadKind.PARTIAL)).file.id
    open_ended = sft.vault.create_upload(owner=maya.id, request=asked(None, UploadKind.PARTIAL)).file.id
    complete = complete_upload(sft, maya, b"x")
    others = complete_upload(sft, noor, b"x", kind=UploadKind.PARTIAL)
    before = used(sft, maya), keys(sft)
    for wrong, error in (
        (short, PartialUploadIncomplete),
        (open_ended, PartialUploadIncomplete),
        (complete, PartialUploadIncomplete),
    ):
        with pytest.raises(error):
            sft.vault.concatenate_uploads(owner=maya.id, request=asked(None, UploadKind.FINAL, fit, wrong))
    with pytest.raises(FileNotFound):
        sft.vault.concatenate_uploads(owner=maya.id, request=asked(None, UploadKind.FINAL, fit, others))
    assert (used(sft, maya), keys(sft)) == before


def test_aborted_final_upload_keeps_its_sources(sft: Application, maya: User) -> None:
    """Nothing of the aborted upload stays, and the same partial uploads can be concatenated again."""
    piece = complete_upload(sft, maya, CONTENT, kind=UploadKind.PARTIAL)
    final = asked(None, UploadKind.FINAL, piece)
    aborted = sft.vault.concatenate_uploads(owner=maya.id, request=final)
    sft.vault.concatenate_uploads.step(aborted)
    sft.vault.abort_upload(aborted.upload)
    assert keys(sft) == recorded(sft)
    assert used(sft, maya) == len(CONTENT)
    under_way = sft.vault.concatenate_uploads(owner=maya.id, request=final)
    while sft.vault.concatenate_uploads.step(under_way):
        pass
    assert sft.vault.concatenate_uploads.finish(under_way).state is FileState.SEALED
    assert_only_file(sft, maya)
