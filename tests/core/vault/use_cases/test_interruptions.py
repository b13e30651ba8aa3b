"""
Interrupted transfers: store failures, unanswered database commits, concurrent requests.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier

import attrs
import pytest

from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase
from sft_core.application import Application
from sft_core.errors import (
    BlobMissing,
    BlobStoreFull,
    BlobStoreUnavailable,
    DatabaseUnavailable,
    FileNotFound,
    UploadAborted,
    UploadIncomplete,
)
from sft_core.users.model import User
from sft_core.values import ByteRange, FileName, Page
from sft_core.vault.model import MANIFEST_PAGE, File, FileState
from sft_core.vault.ports import BlobStore
from sft_core.vault.use_cases import StoreFile, UploadSession, purge
from support.app.library import FaultyBlobs, LostCommitDatabase

NAME = FileName.parse("notes.txt")
PART = 10
CONTENT = bytes(range(47))
PARTS = 5


def storing(sft: Application, *, blobs: BlobStore | None = None, begin: LostCommitDatabase | None = None) -> StoreFile:
    """
    The application's use case that stores a file, with small parts, on another store or database.
    """
    blobs = blobs or sft.vault.store_part.blobs
    begin_ = begin or sft.vault.store_part.begin
    part = attrs.evolve(sft.vault.store_part, blobs=blobs, begin=begin_)
    return StoreFile(
        begin=begin_,
        begin_upload=attrs.evolve(sft.vault.begin_upload, begin=begin_, part_size=PART),
        store_part=part,
        seal=sft.sharing.seal_upload.seal,
        abort=attrs.evolve(sft.vault.abort_upload, blobs=blobs, begin=begin_),
    )


def upload_with_parts(sft: Application, owner: User, content: bytes = CONTENT) -> UploadSession:
    """
    An upload with all its parts stored, not sealed.
    """
    upload = sft.vault.begin_upload(owner=owner.id, name=NAME)
    for start in range(0, len(content), PART):
        sft.vault.store_part(upload, content[start : start + PART])
    return upload


def a_file(sft: Application, owner: User) -> File:
    return storing(sft)(owner=owner.id, name=NAME, content=[CONTENT])


def read(sft: Application, file: File) -> bytes:
    return b"".join(map(bytes, sft.vault.read_file(file)))


def listed(sft: Application, owner: User) -> list[File]:
    return list(sft.vault.list_files(owner=owner.id, page=Page()))


def rows(sft: Application) -> dict[object, FileState]:
    """
    Every file row in the database, in any state.
    """
    assert isinstance(sft.vault.find_file.begin, MemoryDatabase)
    return {file.id: file.state for file in sft.vault.find_file.begin.snapshot().files.values()}


def stored(sft: Application, upload: UploadSession) -> File:
    with sft.vault.find_file.begin(read_only=True) as unit:
        file = unit.files.get(upload.file.id)
    assert file is not None
    return file


def keys(sft: Application) -> list[str]:
    return sorted(blob.key for blob in sft.vault.store_part.blobs.list())


def sweep(sft: Application) -> None:
    """
    Continue every deletion that has started.
    """
    assert isinstance(sft.vault.find_file.begin, MemoryDatabase)
    for file in list(sft.vault.find_file.begin.snapshot().files.values()):
        if file.state in {FileState.ABORTING, FileState.DELETING}:
            purge(sft.vault.abort_upload.begin, sft.vault.abort_upload.blobs, file.id)


# --- time of the last change -----------------------------------------------------------------------


def test_touched_at_is_accurate_to_the_minute(sft: Application, maya: User, clock: SettableClock) -> None:
    """Parts within a minute leave `touched_at` unchanged; the next part and the seal keep it up to date."""
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME)
    created_at = clock.now()
    for seconds, seconds_later in ((59, 0), (1, 60), (59, 60), (90, 209)):
        clock.advance(seconds=seconds)
        sft.vault.store_part(upload, b"bytes")
        assert stored(sft, upload).touched_at == created_at + timedelta(seconds=seconds_later)
    assert (
        sft.sharing.seal_upload(upload).file.touched_at
        == stored(sft, upload).touched_at
        == created_at + timedelta(seconds=209)
    )


def test_aborted_upload_is_not_touched(sft: Application, maya: User, clock: SettableClock) -> None:
    """A part stored after a minute raises the same error as one within the minute."""
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME)
    sft.vault.abort_upload(upload)
    clock.advance(minutes=1)
    with pytest.raises(UploadAborted):
        sft.vault.store_part(upload, b"bytes")
    assert keys(sft) == []


# --- a store that fails --------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [BlobStoreFull("no room"), BlobStoreUnavailable("no answer"), KeyboardInterrupt()])
@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("at", range(PARTS))
def test_store_failure_at_any_part_leaves_nothing(
    sft: Application, maya: User, at: int, fault: BaseException, *, after_effect: bool
) -> None:
    """The store's error is raised, and no row and no part remains, even if the part had been stored."""
    blobs = FaultyBlobs(sft.vault.store_part.blobs, {("put", at): fault}, after_effect=after_effect)
    with pytest.raises(type(fault)):
        storing(sft, blobs=blobs)(owner=maya.id, name=NAME, content=[CONTENT])
    assert blobs.calls["put"] == at + 1
    assert (rows(sft), keys(sft)) == ({}, [])


@pytest.mark.parametrize("call", ["list", "delete"])
def test_failed_cleanup_is_completed_by_a_later_sweep(sft: Application, maya: User, call: str) -> None:
    """The first error is raised; the file stays invisible, its key is deleted, and a later sweep deletes the parts."""
    faults = {("put", 3): BlobStoreFull("no room"), (call, 0): BlobStoreUnavailable("no answer")}
    with pytest.raises(BlobStoreFull):
        storing(sft, blobs=FaultyBlobs(sft.vault.store_part.blobs, faults))(owner=maya.id, name=NAME, content=[CONTENT])
    assert listed(sft, maya) == []
    assert list(rows(sft).values()) == [FileState.ABORTING]
    assert len(keys(sft)) == 3
    sweep(sft)
    assert (rows(sft), keys(sft)) == ({}, [])


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("at", range(PARTS))
def test_interrupted_deletion_takes_effect(sft: Application, maya: User, at: int, *, after_effect: bool) -> None:
    """At whichever part the store fails, the file disappears at once, and a later sweep deletes the rest."""
    file, other = a_file(sft, maya), a_file(sft, maya)
    blobs = FaultyBlobs(
        sft.vault.delete_file.blobs, {("delete", at): BlobStoreUnavailable("no answer")}, after_effect=after_effect
    )
    attrs.evolve(sft.vault.delete_file, blobs=blobs)(owner=maya.id, file_id=file.id)
    assert listed(sft, maya) == [other]
    with pytest.raises(FileNotFound):
        sft.vault.delete_file(owner=maya.id, file_id=file.id)
    assert rows(sft) == {file.id: FileState.DELETING, other.id: FileState.SEALED}
    assert len(keys(sft)) == 2 * PARTS - at - int(after_effect)
    sweep(sft)
    assert rows(sft) == {other.id: FileState.SEALED}
    assert len(keys(sft)) == PARTS
    assert read(sft, other) == CONTENT


def test_repeated_deletion_is_safe(sft: Application, maya: User) -> None:
    """Two deletions of one file, and one after the last blob, do not disturb each other."""
    upload = upload_with_parts(sft, maya)
    other = a_file(sft, maya)
    faults = {("delete", 2): BlobStoreUnavailable("no answer")}
    with pytest.raises(BlobStoreUnavailable):
        attrs.evolve(sft.vault.abort_upload, blobs=FaultyBlobs(sft.vault.abort_upload.blobs, faults))(upload)
    for _ in range(3):
        purge(sft.vault.abort_upload.begin, sft.vault.abort_upload.blobs, upload.file.id)
    assert rows(sft) == {other.id: FileState.SEALED}
    assert read(sft, other) == CONTENT


@pytest.mark.parametrize("call", ["list", "delete"])
def test_interrupted_abort_is_completed_by_the_next(sft: Application, maya: User, call: str) -> None:
    """A second abort continues the deletion and does not wait for a sweep."""
    upload, other = upload_with_parts(sft, maya), a_file(sft, maya)
    blobs = FaultyBlobs(sft.vault.abort_upload.blobs, {(call, 0): BlobStoreUnavailable("no answer")})
    again = attrs.evolve(sft.vault.abort_upload, blobs=blobs)
    with pytest.raises(BlobStoreUnavailable):
        again(upload)
    for _ in range(2):
        again(upload)
    assert rows(sft) == {other.id: FileState.SEALED}
    assert read(sft, other) == CONTENT


def test_purge_of_a_sealed_file_keeps_its_rows(sft: Application, maya: User) -> None:
    """Only files in a deletion state lose their rows: a sealed file stays listed, though damaged."""
    file = a_file(sft, maya)
    purge(sft.vault.abort_upload.begin, sft.vault.abort_upload.blobs, file.id)
    assert rows(sft) == {file.id: FileState.SEALED}
    with pytest.raises(BlobMissing):
        read(sft, file)


# --- a database that does not respond ------------------------------------------------------------


def test_seal_with_a_lost_response_is_kept(sft: Application, maya: User) -> None:
    """The commit may have happened: then the file is complete, even though its client got an error."""
    assert isinstance(sft.vault.store_part.begin, MemoryDatabase)
    begin = LostCommitDatabase(sft.vault.store_part.begin, 1, happens=True)
    with pytest.raises(DatabaseUnavailable):
        storing(sft, begin=begin)(owner=maya.id, name=NAME, content=[CONTENT], announced_size=len(CONTENT))
    (file,) = listed(sft, maya)
    assert read(sft, file) == CONTENT


def test_failed_seal_lists_nothing(sft: Application, maya: User) -> None:
    """No file is listed, and its parts stay for the sweep, because the two cases look the same."""
    assert isinstance(sft.vault.store_part.begin, MemoryDatabase)
    begin = LostCommitDatabase(sft.vault.store_part.begin, 1, happens=False)
    with pytest.raises(DatabaseUnavailable):
        storing(sft, begin=begin)(owner=maya.id, name=NAME, content=[CONTENT], announced_size=len(CONTENT))
    assert listed(sft, maya) == []
    assert list(rows(sft).values()) == [FileState.RECEIVING]
    assert len(keys(sft)) == PARTS


@pytest.mark.parametrize("happens", [False, True])
def test_intent_in_doubt_stores_no_part(sft: Application, maya: User, *, happens: bool) -> None:
    """No part of a file of several parts is stored before its intent row is known to be durable."""
    assert isinstance(sft.vault.store_part.begin, MemoryDatabase)
    begin = LostCommitDatabase(sft.vault.store_part.begin, 0, happens=happens)
    with pytest.raises(DatabaseUnavailable):
        storing(sft, begin=begin)(owner=maya.id, name=NAME, content=[CONTENT])
    assert (keys(sft), listed(sft, maya)) == ([], [])


@pytest.mark.parametrize("happens", [False, True])
def test_abort_in_doubt_is_completed_by_the_next(sft: Application, maya: User, *, happens: bool) -> None:
    """Whether the first abort was committed or not, the second deletes everything."""
    assert isinstance(sft.vault.abort_upload.begin, MemoryDatabase)
    upload = upload_with_parts(sft, maya)
    again = attrs.evolve(
        sft.vault.abort_upload, begin=LostCommitDatabase(sft.vault.abort_upload.begin, 0, happens=happens)
    )
    with pytest.raises(DatabaseUnavailable):
        again(upload)
    again(upload)
    assert (rows(sft), keys(sft)) == ({}, [])


@pytest.mark.parametrize("happens", [False, True])
def test_deletion_in_doubt_deletes_no_part(sft: Application, maya: User, *, happens: bool) -> None:
    """While it is unknown whether the deletion was committed, the parts stay: the file may still be read."""
    assert isinstance(sft.vault.delete_file.begin, MemoryDatabase)
    file = a_file(sft, maya)
    begin = LostCommitDatabase(sft.vault.delete_file.begin, 0, happens=happens)
    with pytest.raises(DatabaseUnavailable):
        attrs.evolve(sft.vault.delete_file, begin=begin)(owner=maya.id, file_id=file.id)
    assert listed(sft, maya) == ([] if happens else [file])
    assert len(keys(sft)) == PARTS


# --- concurrent requests -------------------------------------------------------------------------


def test_concurrent_seal_and_abort_have_one_winner(sft: Application, maya: User) -> None:
    """Over many races either the file exists with every part, or nothing does."""
    barrier = Barrier(2)

    def seal(upload: UploadSession) -> bool:
        barrier.wait()
        try:
            sft.sharing.seal_upload(upload)
        except UploadAborted:
            return False
        return True

    def abort(upload: UploadSession) -> bool:
        barrier.wait()
        sft.vault.abort_upload(upload)
        return False

    with ThreadPoolExecutor(2) as pool:
        for turn in range(50):
            upload = upload_with_parts(sft, maya)
            # The last thread to arrive at the barrier continues first, so alternate the order.
            at_once = [pool.submit(action, upload) for action in ((seal, abort) if turn % 2 else (abort, seal))]
            outcomes = [future.result() for future in at_once]
            if any(outcomes):
                (file,) = listed(sft, maya)
                assert read(sft, file) == CONTENT
                sft.vault.delete_file(owner=maya.id, file_id=file.id)
            assert (rows(sft), keys(sft)) == ({}, [])


def test_concurrent_part_and_abort_leave_nothing(sft: Application, maya: User) -> None:
    """In either order the part is deleted: by the abort that finds it, or by the request that stored it."""
    barrier = Barrier(2)

    def store(upload: UploadSession) -> None:
        barrier.wait()
        with suppress(UploadAborted):
            sft.vault.store_part(upload, b"late")

    def abort(upload: UploadSession) -> None:
        barrier.wait()
        sft.vault.abort_upload(upload)

    with ThreadPoolExecutor(2) as pool:
        for turn in range(50):
            upload = upload_with_parts(sft, maya)
            at_once = [pool.submit(action, upload) for action in ((store, abort) if turn % 2 else (abort, store))]
            for future in at_once:
                future.result()
            assert (rows(sft), keys(sft)) == ({}, [])


def test_file_is_sealed_once(sft: Application, maya: User) -> None:
    """A second seal of one upload is refused, and the file stays unchanged."""
    upload = upload_with_parts(sft, maya)
    file = sft.sharing.seal_upload(upload).file
    with pytest.raises(UploadAborted):
        sft.sharing.seal_upload(upload)
    assert listed(sft, maya) == [file]
    assert read(sft, file) == CONTENT


@pytest.mark.parametrize("pieces", range(PARTS))
def test_file_deleted_during_a_read_raises(sft: Application, maya: User, pieces: int) -> None:
    """At any point the reader gets a correct prefix and then an error, never a short file."""
    file = a_file(sft, maya)
    reading = sft.vault.read_file(file)
    got = b"".join(bytes(next(reading)) for _ in range(pieces))
    sft.vault.delete_file(owner=maya.id, file_id=file.id)
    with pytest.raises(FileNotFound):
        next(reading)
    assert got == CONTENT[: pieces * PART]


def test_range_reads_only_the_parts_it_overlaps(sft: Application, maya: User) -> None:
    """A lost part does not affect ranges in other parts."""
    file = a_file(sft, maya)
    with sft.vault.find_file.begin(read_only=True) as unit:
        parts = unit.manifests.covering(file.id, file.whole, limit=PARTS)
    sft.vault.delete_file.blobs.delete(parts[2].blob_key)
    for start, stop in ((0, 20), (30, 47), (5, 5), (47, 90)):
        got = b"".join(map(bytes, sft.vault.read_file(file, ByteRange(start, stop))))
        assert got == CONTENT[start:stop]
    with pytest.raises(BlobMissing):
        list(sft.vault.read_file(file, ByteRange(19, 21)))


@attrs.frozen
class _RecordingBlobs(FaultyBlobs):
    """
    A blob store that records which memory it reads into.
    """

    memory: list[object] = attrs.field(factory=list, init=False)

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        self.memory.append(buffer.obj)
        super().read_into(key, start, buffer, size=size)


def test_reader_between_two_pieces_holds_no_buffer(sft: Application, maya: User) -> None:
    """Interleaved readers, one of them failing, share one buffer, and each gets its own bytes."""
    file, other = a_file(sft, maya), storing(sft)(owner=maya.id, name=NAME, content=[CONTENT[::-1]])
    blobs = _RecordingBlobs(sft.vault.read_file.blobs, {("read_into", 2): BlobStoreUnavailable("for a moment")})
    read_file = attrs.evolve(sft.vault.read_file, blobs=blobs)
    first, second, failing = (read_file(each) for each in (file, other, file))
    got = [next(first), next(second)]
    with pytest.raises(BlobStoreUnavailable):
        next(failing)
    for piece, mirrored in zip(first, second, strict=True):
        got += [piece, mirrored]
    assert b"".join(map(bytes, got[::2])) == CONTENT
    assert b"".join(map(bytes, got[1::2])) == CONTENT[::-1]
    assert len({id(memory) for memory in blobs.memory}) == 1


def test_concurrent_readers_have_a_buffer_each(sft: Application, maya: User) -> None:
    """Concurrent reads in two threads do not overwrite each other's buffer."""
    files = [storing(sft)(owner=maya.id, name=NAME, content=[content]) for content in (CONTENT, CONTENT[::-1])]
    both = Barrier(2)

    @attrs.frozen
    class Meeting(_RecordingBlobs):
        def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
            super().read_into(key, start, buffer, size=size)
            both.wait(20)

    blobs = Meeting(sft.vault.read_file.blobs, {})
    read_file = attrs.evolve(sft.vault.read_file, blobs=blobs)
    with ThreadPoolExecutor(2) as threads:
        got = list(threads.map(lambda file: b"".join(map(bytes, read_file(file))), files))
    assert got == [CONTENT, CONTENT[::-1]]


def test_buffers_can_be_released_during_a_read(sft: Application, maya: User) -> None:
    """A running read continues with the same bytes in other memory."""
    file = a_file(sft, maya)
    blobs = _RecordingBlobs(sft.vault.read_file.blobs, {})
    read_file = attrs.evolve(sft.vault.read_file, blobs=blobs)
    reading = read_file(file)
    got = [next(reading), next(reading)]
    read_file.release_buffers()
    got += reading
    assert b"".join(map(bytes, got)) == CONTENT
    assert len({id(memory) for memory in blobs.memory}) == 2


# --- a manifest commit in doubt --------------------------------------------------------------------


@pytest.mark.parametrize("happens", [False, True])
def test_upload_in_doubt_accepts_no_parts_and_no_seal(sft: Application, maya: User, *, happens: bool) -> None:
    """It is unknown whether the batch was recorded, so no part is deleted and no incomplete file is sealed."""
    assert isinstance(sft.vault.store_part.begin, MemoryDatabase)
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=1 << 20)
    for _ in range(MANIFEST_PAGE - 1):
        sft.vault.store_part(upload, b"x")
    lost = attrs.evolve(sft.vault.store_part, begin=LostCommitDatabase(sft.vault.store_part.begin, 0, happens=happens))
    with pytest.raises(DatabaseUnavailable):
        lost(upload, b"x")
    assert len(keys(sft)) == MANIFEST_PAGE
    with pytest.raises(UploadIncomplete):
        sft.vault.store_part(upload, b"next")
    with pytest.raises(UploadIncomplete):
        sft.sharing.seal_upload(upload)
    assert len(keys(sft)) == MANIFEST_PAGE
    sft.vault.abort_upload(upload)
    assert (rows(sft), keys(sft)) == ({}, [])
