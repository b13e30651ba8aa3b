"""
Files of one part: one commit, and no row before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import attrs
import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_adapters.memory.database import MemoryDatabase
from sft_core.application import Application
from sft_core.errors import BlobStoreFull, DatabaseUnavailable, QuotaExceeded, UploadIncomplete
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


def begin_small_upload(sft: Application, owner: User, size: int = len(CONTENT)) -> UploadSession:
    return sft.vault.begin_upload(owner=owner.id, name=NAME, announced_size=size)


def database(sft: Application) -> MemoryDatabase:
    assert isinstance(sft.vault.find_file.begin, MemoryDatabase)
    return sft.vault.find_file.begin


def keys(sft: Application) -> list[str]:
    return [blob.key for blob in sft.vault.store_part.blobs.list()]


def content_of(sft: Application, file: File) -> bytes:
    return b"".join(sft.vault.read_file(file))


@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
def test_small_file_is_one_part_and_one_commit(sft: Application, maya: User, content: bytes) -> None:
    """Nothing is written before the part is stored; then row, manifest and reservation are written at once."""
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


def test_form_part_before_the_final_size_needs_a_row(sft: Application, maya: User) -> None:
    """The form's final size is unknown until its end, so a part before it is stored only after the row."""
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=700, overhead=690, reports_final_size=True)
    sft.vault.store_part(upload, CONTENT)
    assert upload.is_persisted
    assert upload.file.id in database(sft).snapshot().files
    sft.vault.store_part(upload, CONTENT)
    assert content_of(sft, sft.sharing.seal_upload(upload).file) == 2 * CONTENT


@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
def test_file_with_a_late_final_size_is_one_commit(sft: Application, maya: User, content: bytes) -> None:
    """The final size is reported before the part is stored, and the one commit reserves the quota."""
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
def test_part_followed_by_others_needs_a_row(sft: Application, maya: User, announced: int | None) -> None:
    """This holds however long the next part takes, and also for a short part of a small file."""
    blobs = RowCheckingBlobs(sft.vault.store_part.blobs, database(sft))
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=announced, reports_final_size=True)
    assert not database(sft).snapshot().files
    part = attrs.evolve(sft.vault.store_part, blobs=blobs)
    part(upload, CONTENT)
    upload.expected_size = 2 * len(CONTENT)
    part(upload, CONTENT)
    assert blobs.known == [True, True]
    assert content_of(sft, sft.sharing.seal_upload(upload).file) == 2 * CONTENT


def test_file_of_unknown_size_beyond_the_quota_leaves_nothing(sft: Application, maya: User) -> None:
    """A small file is refused by its commit, a large one before its first part is stored."""
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
def test_abort_deletes_a_row_in_doubt(sft: Application, maya: User, *, happens: bool) -> None:
    """For an upload that outgrew one part: whether its row was committed or not, the abort deletes it."""
    lost = LostCommitDatabase(database(sft), 0, happens=happens)
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, reports_final_size=True)
    with pytest.raises(DatabaseUnavailable):
        attrs.evolve(sft.vault.store_part, begin=lost)(upload, CONTENT)
    assert bool(database(sft).snapshot().files) == happens
    sft.vault.abort_upload(upload)
    assert not database(sft).snapshot().files
    assert database(sft).snapshot().usages.get(maya.id, 0) == 0


def test_part_is_accepted_once(sft: Application, maya: User) -> None:
    """A second acceptance is refused, so the part is in the file once, and its blob is no orphan."""
    store_part, upload = sft.vault.store_part, begin_small_upload(sft, maya)
    part = store_part.put(upload, store_part.allocate(upload, len(CONTENT)), CONTENT)
    store_part.accept(upload, part)
    with pytest.raises(UploadIncomplete):
        store_part.accept(upload, part)
    assert (upload.parts, upload.received, upload.pending, upload.orphans) == (1, len(CONTENT), [part], [])


def test_small_public_file_gets_its_link_in_the_same_commit(sft: Application, maya: User) -> None:
    """File and link are created together, with the given terms."""
    begin = CountingDatabase(database(sft))
    upload = begin_small_upload(sft, maya)
    sft.vault.store_part(upload, CONTENT)
    seal = attrs.evolve(sft.sharing.seal_upload, begin=begin)
    file = seal(upload, terms=ShareTerms(max_downloads=3), public=True).file
    assert begin.changes == 1
    (summary,) = sft.sharing.summarise_links([file]).values()
    assert summary.current is not None
    assert summary.current.max_downloads == 3


def test_aborted_small_file_leaves_nothing(sft: Application, maya: User) -> None:
    """An abort before or after the part leaves nothing, and a second abort is no error."""
    for parts in ([], [CONTENT]):
        upload = begin_small_upload(sft, maya)
        for content in parts:
            sft.vault.store_part(upload, content)
        for _ in range(2):
            sft.vault.abort_upload(upload)
        assert keys(sft) == []
        assert not database(sft).snapshot().files


def test_file_larger_than_announced_becomes_a_normal_upload(sft: Application, maya: User) -> None:
    """A second part creates the row that the first did without; no byte of either is lost."""
    upload = begin_small_upload(sft, maya)
    sft.vault.store_part(upload, CONTENT)
    sft.vault.store_part(upload, CONTENT)
    assert upload.file.id in database(sft).snapshot().files
    file = sft.sharing.seal_upload(upload).file
    assert (file.size, content_of(sft, file)) == (2 * len(CONTENT), CONTENT + CONTENT)
    assert database(sft).snapshot().usages[maya.id] == 2 * len(CONTENT)


def test_small_file_beyond_the_quota_is_refused_before_its_bytes(sft: Application, maya: User) -> None:
    """An announced size beyond the quota is refused before any byte is received."""
    with pytest.raises(QuotaExceeded) as refused:
        begin_small_upload(sft, maya, 1001)
    assert (refused.value.quota, refused.value.used) == (1000, 0)


def test_second_commit_beyond_the_quota_is_refused(sft: Application, maya: User) -> None:
    """Both fitted when they began; the second commit leaves no row and, after the abort, no part."""
    first, second = begin_small_upload(sft, maya, 600), begin_small_upload(sft, maya, 600)
    for upload in (first, second):
        sft.vault.store_part(upload, bytes(600))
    sft.sharing.seal_upload(first)
    with pytest.raises(QuotaExceeded) as refused:
        sft.sharing.seal_upload(second)
    assert refused.value.used == 600
    sft.vault.abort_upload(second)
    assert len(keys(sft)) == 1
    assert database(sft).snapshot().usages[maya.id] == 600


def test_refused_store_file_leaves_nothing(sft: Application, maya: User) -> None:
    """`StoreFile` aborts when the commit is refused or the store is full."""

    def filling_the_quota() -> Iterator[bytes]:
        for _ in range(2):
            sft.vault.store_file(owner=maya.id, name=NAME, content=[bytes(400)])
        yield bytes(201)

    with pytest.raises(QuotaExceeded):
        sft.vault.store_file(owner=maya.id, name=NAME, content=filling_the_quota(), announced_size=201)
    full = attrs.evolve(
        sft.vault.store_part, blobs=FaultyBlobs(sft.vault.store_part.blobs, {("put", 0): BlobStoreFull()})
    )
    with pytest.raises(BlobStoreFull):
        attrs.evolve(sft.vault.store_file, store_part=full)(owner=maya.id, name=NAME, content=[CONTENT])
    assert len(keys(sft)) == 2
    assert database(sft).snapshot().usages[maya.id] == 800


@pytest.mark.parametrize("happens", [False, True])
def test_commit_in_doubt_is_not_undone(sft: Application, maya: User, *, happens: bool) -> None:
    """It is unknown whether the file is complete or its part has no row, so nothing is deleted."""
    begin = LostCommitDatabase(database(sft), 0, happens=happens)
    with pytest.raises(DatabaseUnavailable):
        attrs.evolve(sft.vault.store_file, begin=begin)(owner=maya.id, name=NAME, content=[CONTENT])
    assert len(keys(sft)) == 1
    files = list(database(sft).snapshot().files.values())
    assert [content_of(sft, file) for file in files] == ([CONTENT] if happens else [])
