"""
Files whose way is interrupted: by a store that fails, a database that does not answer, somebody faster.
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
    The application's way to store a file, in small parts, on another store or database.
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


def begun(sft: Application, owner: User, content: bytes = CONTENT) -> UploadSession:
    """
    An upload whose parts are all stored, and that is not sealed.
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
    Every file that the database knows of, in whatever state.
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
    Go on with what was begun to be removed.
    """
    assert isinstance(sft.vault.find_file.begin, MemoryDatabase)
    for file in list(sft.vault.find_file.begin.snapshot().files.values()):
        if file.state in {FileState.ABORTING, FileState.DELETING}:
            purge(sft.vault.abort_upload.begin, sft.vault.abort_upload.blobs, file.id)


# --- when an upload last moved -------------------------------------------------------------------


def test_a_row_tells_to_the_minute_when_its_upload_last_moved(
    sft: Application, maya: User, clock: SettableClock
) -> None:
    """Parts within a minute leave it as it is; the next one tells the moment, and so does what is sealed."""
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME)
    begun_at = clock.now()
    for seconds, told in ((59, 0), (1, 60), (59, 60), (90, 209)):
        clock.advance(seconds=seconds)
        sft.vault.store_part(upload, b"bytes")
        assert stored(sft, upload).touched_at == begun_at + timedelta(seconds=told)
    assert (
        sft.sharing.seal_upload(upload).file.touched_at
        == stored(sft, upload).touched_at
        == begun_at + timedelta(seconds=209)
    )


def test_an_upload_that_was_ended_is_not_moved(sft: Application, maya: User, clock: SettableClock) -> None:
    """Whoever brings it a part after a minute is told that it has ended, as within the minute."""
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
def test_a_store_that_fails_at_any_part_leaves_nothing(
    sft: Application, maya: User, at: int, fault: BaseException, *, after_effect: bool
) -> None:
    """Its error comes out, and no row and no part stays, though the part may have been stored all the same."""
    blobs = FaultyBlobs(sft.vault.store_part.blobs, {("put", at): fault}, after_effect=after_effect)
    with pytest.raises(type(fault)):
        storing(sft, blobs=blobs)(owner=maya.id, name=NAME, content=[CONTENT])
    assert blobs.calls["put"] == at + 1
    assert (rows(sft), keys(sft)) == ({}, [])


@pytest.mark.parametrize("call", ["list", "delete"])
def test_what_cannot_be_removed_at_once_is_noise_until_it_can(sft: Application, maya: User, call: str) -> None:
    """The first error is told; no file appears, its key is gone, and a later sweep ends it."""
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
def test_a_deletion_that_is_interrupted_is_a_deletion(
    sft: Application, maya: User, at: int, *, after_effect: bool
) -> None:
    """At whichever part the store fails, the file is gone for everybody at once; a later sweep removes the rest."""
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


def test_a_removal_may_be_repeated(sft: Application, maya: User) -> None:
    """Two sweeps that remove one file, and one that comes when all is done, get on with each other."""
    upload = begun(sft, maya)
    other = a_file(sft, maya)
    faults = {("delete", 2): BlobStoreUnavailable("no answer")}
    with pytest.raises(BlobStoreUnavailable):
        attrs.evolve(sft.vault.abort_upload, blobs=FaultyBlobs(sft.vault.abort_upload.blobs, faults))(upload)
    for _ in range(3):
        purge(sft.vault.abort_upload.begin, sft.vault.abort_upload.blobs, upload.file.id)
    assert rows(sft) == {other.id: FileState.SEALED}
    assert read(sft, other) == CONTENT


@pytest.mark.parametrize("call", ["list", "delete"])
def test_an_abort_that_was_interrupted_is_ended_by_the_next_one(sft: Application, maya: User, call: str) -> None:
    """Whoever gives the upload up once more goes on with the removal; it need not wait for a sweep."""
    upload, other = begun(sft, maya), a_file(sft, maya)
    blobs = FaultyBlobs(sft.vault.abort_upload.blobs, {(call, 0): BlobStoreUnavailable("no answer")})
    again = attrs.evolve(sft.vault.abort_upload, blobs=blobs)
    with pytest.raises(BlobStoreUnavailable):
        again(upload)
    for _ in range(2):
        again(upload)
    assert rows(sft) == {other.id: FileState.SEALED}
    assert read(sft, other) == CONTENT


def test_a_removal_by_mistake_leaves_the_rows_of_a_sealed_file(sft: Application, maya: User) -> None:
    """Only what has been condemned is forgotten: a file that somebody sealed is still known, if damaged."""
    file = a_file(sft, maya)
    purge(sft.vault.abort_upload.begin, sft.vault.abort_upload.blobs, file.id)
    assert rows(sft) == {file.id: FileState.SEALED}
    with pytest.raises(BlobMissing):
        read(sft, file)


# --- a database that does not answer -------------------------------------------------------------


def test_a_seal_whose_answer_is_lost_is_not_undone(sft: Application, maya: User) -> None:
    """The commit may have happened: then the file is there and whole, whatever its sender was told."""
    assert isinstance(sft.vault.store_part.begin, MemoryDatabase)
    begin = LostCommitDatabase(sft.vault.store_part.begin, 1, happens=True)
    with pytest.raises(DatabaseUnavailable):
        storing(sft, begin=begin)(owner=maya.id, name=NAME, content=[CONTENT], announced_size=len(CONTENT))
    (file,) = listed(sft, maya)
    assert read(sft, file) == CONTENT


def test_a_seal_that_did_not_happen_shows_nothing(sft: Application, maya: User) -> None:
    """Nothing is listed; what was received stays for the sweep, for nobody can tell the two cases apart."""
    assert isinstance(sft.vault.store_part.begin, MemoryDatabase)
    begin = LostCommitDatabase(sft.vault.store_part.begin, 1, happens=False)
    with pytest.raises(DatabaseUnavailable):
        storing(sft, begin=begin)(owner=maya.id, name=NAME, content=[CONTENT], announced_size=len(CONTENT))
    assert listed(sft, maya) == []
    assert list(rows(sft).values()) == [FileState.RECEIVING]
    assert len(keys(sft)) == PARTS


@pytest.mark.parametrize("happens", [False, True])
def test_an_intent_without_an_answer_stores_no_part(sft: Application, maya: User, *, happens: bool) -> None:
    """No part is stored of a file that needs several before the intent to receive it is known to be durable."""
    assert isinstance(sft.vault.store_part.begin, MemoryDatabase)
    begin = LostCommitDatabase(sft.vault.store_part.begin, 0, happens=happens)
    with pytest.raises(DatabaseUnavailable):
        storing(sft, begin=begin)(owner=maya.id, name=NAME, content=[CONTENT])
    assert (keys(sft), listed(sft, maya)) == ([], [])


@pytest.mark.parametrize("happens", [False, True])
def test_an_abort_without_an_answer_is_ended_by_the_next_one(sft: Application, maya: User, *, happens: bool) -> None:
    """Whether the first one has won or not: the second removes what there is."""
    assert isinstance(sft.vault.abort_upload.begin, MemoryDatabase)
    upload = begun(sft, maya)
    again = attrs.evolve(
        sft.vault.abort_upload, begin=LostCommitDatabase(sft.vault.abort_upload.begin, 0, happens=happens)
    )
    with pytest.raises(DatabaseUnavailable):
        again(upload)
    again(upload)
    assert (rows(sft), keys(sft)) == ({}, [])


@pytest.mark.parametrize("happens", [False, True])
def test_a_deletion_without_an_answer_touches_no_part(sft: Application, maya: User, *, happens: bool) -> None:
    """As long as nobody knows whether the file is condemned, its parts stay: it may still be read."""
    assert isinstance(sft.vault.delete_file.begin, MemoryDatabase)
    file = a_file(sft, maya)
    begin = LostCommitDatabase(sft.vault.delete_file.begin, 0, happens=happens)
    with pytest.raises(DatabaseUnavailable):
        attrs.evolve(sft.vault.delete_file, begin=begin)(owner=maya.id, file_id=file.id)
    assert listed(sft, maya) == ([] if happens else [file])
    assert len(keys(sft)) == PARTS


# --- somebody faster -----------------------------------------------------------------------------


def test_of_a_seal_and_an_abort_at_once_one_wins_whole(sft: Application, maya: User) -> None:
    """Either the file is there with every part, or nothing is; over many races never a half of each."""
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
            upload = begun(sft, maya)
            # Who comes to the barrier last goes on first: each has its turn.
            at_once = [pool.submit(action, upload) for action in ((seal, abort) if turn % 2 else (abort, seal))]
            outcomes = [future.result() for future in at_once]
            if any(outcomes):
                (file,) = listed(sft, maya)
                assert read(sft, file) == CONTENT
                sft.vault.delete_file(owner=maya.id, file_id=file.id)
            assert (rows(sft), keys(sft)) == ({}, [])


def test_of_a_part_and_an_abort_at_once_nothing_stays(sft: Application, maya: User) -> None:
    """Whichever comes first, the part is removed: by the abort that finds it, or by who stored it."""
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
            upload = begun(sft, maya)
            at_once = [pool.submit(action, upload) for action in ((store, abort) if turn % 2 else (abort, store))]
            for future in at_once:
                future.result()
            assert (rows(sft), keys(sft)) == ({}, [])


def test_a_file_is_sealed_once(sft: Application, maya: User) -> None:
    """A second seal of one upload is refused, and the file is as it was."""
    upload = begun(sft, maya)
    file = sft.sharing.seal_upload(upload).file
    with pytest.raises(UploadAborted):
        sft.sharing.seal_upload(upload)
    assert listed(sft, maya) == [file]
    assert read(sft, file) == CONTENT


@pytest.mark.parametrize("pieces", range(PARTS))
def test_a_file_that_is_deleted_while_it_is_read_never_ends_short(sft: Application, maya: User, pieces: int) -> None:
    """Whenever it happens, the reader has got a true beginning, and then an error in place of an end."""
    file = a_file(sft, maya)
    reading = sft.vault.read_file(file)
    got = b"".join(bytes(next(reading)) for _ in range(pieces))
    sft.vault.delete_file(owner=maya.id, file_id=file.id)
    with pytest.raises(FileNotFound):
        next(reading)
    assert got == CONTENT[: pieces * PART]


def test_a_range_is_read_from_the_parts_it_touches_alone(sft: Application, maya: User) -> None:
    """A lost part does not hurt who asks for others."""
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
class _Noted(FaultyBlobs):
    """
    A blob store that notes the memory it was told to read into.
    """

    memory: list[object] = attrs.field(factory=list, init=False)

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        self.memory.append(buffer.obj)
        super().read_into(key, start, buffer, size=size)


def test_who_is_between_two_pieces_holds_no_buffer(sft: Application, maya: User) -> None:
    """Many who read in turn, one that has failed among them, need one buffer between them, and get what is theirs."""
    file, other = a_file(sft, maya), storing(sft)(owner=maya.id, name=NAME, content=[CONTENT[::-1]])
    blobs = _Noted(sft.vault.read_file.blobs, {("read_into", 2): BlobStoreUnavailable("for a moment")})
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


def test_those_who_read_at_once_have_a_buffer_each(sft: Application, maya: User) -> None:
    """Two threads in the middle of a read do not write over one another's."""
    files = [storing(sft)(owner=maya.id, name=NAME, content=[content]) for content in (CONTENT, CONTENT[::-1])]
    both = Barrier(2)

    @attrs.frozen
    class Meeting(_Noted):
        def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
            super().read_into(key, start, buffer, size=size)
            both.wait(20)

    blobs = Meeting(sft.vault.read_file.blobs, {})
    read_file = attrs.evolve(sft.vault.read_file, blobs=blobs)
    with ThreadPoolExecutor(2) as threads:
        got = list(threads.map(lambda file: b"".join(map(bytes, read_file(file))), files))
    assert got == [CONTENT, CONTENT[::-1]]


def test_memory_for_the_next_read_can_be_let_go(sft: Application, maya: User) -> None:
    """Also while somebody reads, who gets the same bytes out of other memory."""
    file = a_file(sft, maya)
    blobs = _Noted(sft.vault.read_file.blobs, {})
    read_file = attrs.evolve(sft.vault.read_file, blobs=blobs)
    reading = read_file(file)
    got = [next(reading), next(reading)]
    read_file.release_buffers()
    got += reading
    assert b"".join(map(bytes, got)) == CONTENT
    assert len({id(memory) for memory in blobs.memory}) == 2


# --- a commit of the manifest without an answer ----------------------------------------------------


@pytest.mark.parametrize("happens", [False, True])
def test_an_upload_in_doubt_takes_no_more_parts_and_is_not_sealed(
    sft: Application, maya: User, *, happens: bool
) -> None:
    """Whether the batch was recorded or not is unknown: no part of it is deleted, and no file lacks one."""
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
