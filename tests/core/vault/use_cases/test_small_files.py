"""
Files of one part, as most are: one commit, and no row before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import attrs
import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_adapters.memory.database import MemoryDatabase
from sft_core.application import Application
from sft_core.errors import BlobStoreFull, DatabaseUnavailable, QuotaExceeded
from sft_core.users.model import User
from sft_core.values import FileName
from sft_core.vault.model import File, ShareTerms
from sft_core.vault.use_cases import UploadSession
from support.app.library import LIGHT, CountingDatabase, FaultyBlobs, LostCommitDatabase, RowCheckingBlobs

NAME = FileName.parse("small.txt")
CONTENT = b"small, as most files are"


@pytest.fixture
def sft() -> Application:
    return memory_application(environ=LIGHT | {"USER_QUOTA": "1000"})


def begun(sft: Application, owner: User, size: int = len(CONTENT)) -> UploadSession:
    return sft.vault.begin_upload(owner=owner.id, name=NAME, announced_size=size)


def database(sft: Application) -> MemoryDatabase:
    assert isinstance(sft.vault.find_file.begin, MemoryDatabase)
    return sft.vault.find_file.begin


def keys(sft: Application) -> list[str]:
    return [blob.key for blob in sft.vault.store_part.blobs.list()]


def content_of(sft: Application, file: File) -> bytes:
    return b"".join(sft.vault.read_file(file))


@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
def test_a_small_file_is_one_part_and_one_commit(sft: Application, maya: User, content: bytes) -> None:
    """Nothing is written before its part is stored; then its row, its manifest and its hold come at once."""
    begin = CountingDatabase(database(sft))
    part = attrs.evolve(sft.vault.store_part, begin=begin)
    upload = attrs.evolve(sft.vault.begin_upload, begin=begin)(owner=maya.id, name=NAME, announced_size=len(content))
    part(upload, content)
    assert begin.changes == 0
    assert not database(sft).snapshot().files
    file = attrs.evolve(sft.sharing.seal_upload, begin=begin, store_part=part)(upload).file
    assert begin.changes == 1
    assert len(keys(sft)) == 1
    assert content_of(sft, sft.vault.find_file(owner=maya.id, file_id=file.id)) == content
    assert database(sft).snapshot().usages[maya.id] == len(content)


def test_a_part_of_a_form_waits_for_its_end_or_its_row(sft: Application, maya: User) -> None:
    """How long the file is in what was announced nobody knows before: a part that comes earlier has a row first."""
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=700, overhead=690, reports_final_size=True)
    sft.vault.store_part(upload, CONTENT)
    assert upload.is_persisted
    assert upload.file.id in database(sft).snapshot().files
    sft.vault.store_part(upload, CONTENT)
    assert content_of(sft, sft.sharing.seal_upload(upload).file) == 2 * CONTENT


@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
def test_so_is_one_of_unknown_size_whose_end_is_told(sft: Application, maya: User, content: bytes) -> None:
    """Told before its part is stored; its hold is asked for by the one commit."""
    begin = CountingDatabase(database(sft))
    part = attrs.evolve(sft.vault.store_part, begin=begin)
    upload = attrs.evolve(sft.vault.begin_upload, begin=begin)(owner=maya.id, name=NAME, reports_final_size=True)
    upload.expected_size = len(content)
    part(upload, content)
    file = attrs.evolve(sft.sharing.seal_upload, begin=begin, store_part=part)(upload).file
    assert begin.changes == 1
    assert content_of(sft, sft.vault.find_file(owner=maya.id, file_id=file.id)) == content
    assert database(sft).snapshot().usages[maya.id] == len(content)


@pytest.mark.parametrize("announced", [None, 2 * len(CONTENT)])
def test_a_part_that_others_follow_is_not_stored_without_a_row(
    sft: Application, maya: User, announced: int | None
) -> None:
    """However long its client takes for the next one; also if it is a short part of a small file."""
    blobs = RowCheckingBlobs(sft.vault.store_part.blobs, database(sft))
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=announced, reports_final_size=True)
    assert not database(sft).snapshot().files
    part = attrs.evolve(sft.vault.store_part, blobs=blobs)
    part(upload, CONTENT)
    upload.expected_size = 2 * len(CONTENT)
    part(upload, CONTENT)
    assert blobs.known == [True, True]
    assert content_of(sft, sft.sharing.seal_upload(upload).file) == 2 * CONTENT


def test_one_of_unknown_size_that_does_not_fit_leaves_nothing(sft: Application, maya: User) -> None:
    """Refused by its commit if it is small, else before its first part is stored."""
    begin = partial(sft.vault.begin_upload, owner=maya.id, name=NAME, reports_final_size=True)
    small, large = begin(), begin()
    small.expected_size = 1001
    sft.vault.store_part(small, bytes(1001))
    with pytest.raises(QuotaExceeded):
        sft.sharing.seal_upload(small)
    sft.vault.abort_upload(small)
    with pytest.raises(QuotaExceeded):
        sft.vault.store_part(large, bytes(1001))
    sft.vault.abort_upload(large)
    assert keys(sft) == []
    assert not database(sft).snapshot().files
    assert database(sft).snapshot().usages.get(maya.id, 0) == 0


@pytest.mark.parametrize("happens", [False, True])
def test_a_row_whose_commit_had_no_answer_is_given_up_with_its_hold(
    sft: Application, maya: User, *, happens: bool
) -> None:
    """Of an upload that turned out to be a long one: it is there or not, and then it is not."""
    lost = LostCommitDatabase(database(sft), 0, happens=happens)
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, reports_final_size=True)
    with pytest.raises(DatabaseUnavailable):
        attrs.evolve(sft.vault.store_part, begin=lost)(upload, CONTENT)
    assert bool(database(sft).snapshot().files) == happens
    sft.vault.abort_upload(upload)
    assert not database(sft).snapshot().files
    assert database(sft).snapshot().usages.get(maya.id, 0) == 0


def test_a_small_public_file_has_its_link_in_the_same_commit(sft: Application, maya: User) -> None:
    """File and link are there together, with the terms that were given."""
    begin = CountingDatabase(database(sft))
    upload = begun(sft, maya)
    sft.vault.store_part(upload, CONTENT)
    seal = attrs.evolve(sft.sharing.seal_upload, begin=begin)
    file = seal(upload, terms=ShareTerms(max_downloads=3), public=True).file
    assert begin.changes == 1
    (summary,) = sft.sharing.summarise_links([file]).values()
    assert summary.current is not None
    assert summary.current.max_downloads == 3


def test_one_that_is_given_up_leaves_nothing(sft: Application, maya: User) -> None:
    """Before its part as after it, and also if it is given up twice."""
    for parts in ([], [CONTENT]):
        upload = begun(sft, maya)
        for content in parts:
            sft.vault.store_part(upload, content)
        for _ in range(2):
            sft.vault.abort_upload(upload)
        assert keys(sft) == []
        assert not database(sft).snapshot().files


def test_one_that_turns_out_larger_becomes_an_upload_like_others(sft: Application, maya: User) -> None:
    """A second part makes the row that the first one did without; nothing of either is lost."""
    upload = begun(sft, maya)
    sft.vault.store_part(upload, CONTENT)
    sft.vault.store_part(upload, CONTENT)
    assert upload.file.id in database(sft).snapshot().files
    file = sft.sharing.seal_upload(upload).file
    assert (file.size, content_of(sft, file)) == (2 * len(CONTENT), CONTENT + CONTENT)
    assert database(sft).snapshot().usages[maya.id] == 2 * len(CONTENT)


def test_one_that_does_not_fit_is_refused_before_it_comes(sft: Application, maya: User) -> None:
    """What is announced over the quota is not received at all."""
    with pytest.raises(QuotaExceeded) as refused:
        begun(sft, maya, 1001)
    assert (refused.value.quota, refused.value.used) == (1000, 0)


def test_of_two_that_do_not_fit_together_the_second_is_refused_by_its_commit(sft: Application, maya: User) -> None:
    """Both found room when they began; who commits second leaves neither a row nor, given up, a part."""
    first, second = begun(sft, maya, 600), begun(sft, maya, 600)
    for upload in (first, second):
        sft.vault.store_part(upload, bytes(600))
    sft.sharing.seal_upload(first)
    with pytest.raises(QuotaExceeded) as refused:
        sft.sharing.seal_upload(second)
    assert refused.value.used == 600
    sft.vault.abort_upload(second)
    assert len(keys(sft)) == 1
    assert database(sft).snapshot().usages[maya.id] == 600


def test_whoever_stores_at_once_is_refused_whole(sft: Application, maya: User) -> None:
    """`StoreFile` gives up what the commit refuses, and what the store has no room for."""

    def taking_the_room() -> Iterator[bytes]:
        for _ in range(2):
            sft.vault.store_file(owner=maya.id, name=NAME, content=[bytes(400)])
        yield bytes(201)

    with pytest.raises(QuotaExceeded):
        sft.vault.store_file(owner=maya.id, name=NAME, content=taking_the_room(), announced_size=201)
    full = attrs.evolve(
        sft.vault.store_part, blobs=FaultyBlobs(sft.vault.store_part.blobs, {("put", 0): BlobStoreFull()})
    )
    with pytest.raises(BlobStoreFull):
        attrs.evolve(sft.vault.store_file, store_part=full)(owner=maya.id, name=NAME, content=[CONTENT])
    assert len(keys(sft)) == 2
    assert database(sft).snapshot().usages[maya.id] == 800


@pytest.mark.parametrize("happens", [False, True])
def test_a_commit_without_an_answer_is_not_undone(sft: Application, maya: User, *, happens: bool) -> None:
    """The file is there and whole, or a part is left that no row knows: nobody can tell, so nothing is removed."""
    begin = LostCommitDatabase(database(sft), 0, happens=happens)
    with pytest.raises(DatabaseUnavailable):
        attrs.evolve(sft.vault.store_file, begin=begin)(owner=maya.id, name=NAME, content=[CONTENT])
    assert len(keys(sft)) == 1
    files = list(database(sft).snapshot().files.values())
    assert [content_of(sft, file) for file in files] == ([CONTENT] if happens else [])
