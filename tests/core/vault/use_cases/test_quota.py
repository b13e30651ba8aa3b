"""
What a user's files may hold together: exact to the byte, given back once, and asked for seldom.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_adapters.memory.database import MemoryDatabase
from sft_core.application import Application
from sft_core.errors import BlobStoreFull, BlobStoreUnavailable, DatabaseUnavailable, QuotaExceeded
from sft_core.users.model import User
from sft_core.values import FileName
from sft_core.vault.model import MANIFEST_PAGE, File, VaultPolicy
from sft_core.vault.use_cases import MAX_PREALLOCATION, PREALLOCATION_MARGIN, StoreFile, UploadSession, purge
from support.app.library import LIGHT, CountingDatabase, FaultyBlobs, LostCommitDatabase, register

NAME = FileName.parse("notes.txt")
QUOTA = 1000
PART = 100


@pytest.fixture
def sft() -> Application:
    return memory_application(environ=LIGHT | {"USER_QUOTA": str(QUOTA)})


def small_parts(sft: Application, *, begin: LostCommitDatabase | None = None) -> StoreFile:
    """
    The application's way to store a file in parts of a hundred bytes, perhaps on another database.
    """
    store = attrs.evolve(sft.vault.store_file, begin_upload=attrs.evolve(sft.vault.begin_upload, part_size=PART))
    if begin is None:
        return store
    part = attrs.evolve(store.store_part, begin=begin)
    return attrs.evolve(
        store,
        begin=begin,
        begin_upload=attrs.evolve(store.begin_upload, begin=begin),
        store_part=part,
        abort=attrs.evolve(store.abort, begin=begin),
    )


def stored(sft: Application, owner: User, size: int, *, announced: bool = False) -> File:
    content = [bytes(size)]
    return small_parts(sft)(owner=owner.id, name=NAME, content=content, announced_size=size if announced else None)


def used(sft: Application, owner: User) -> int:
    """
    What the owner uses, which is the sum of what the owner's files hold.
    """
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    tables = begin.snapshot()
    total = tables.usages.get(owner.id, 0)
    assert total == sum(
        held for file_id, held in tables.reservations.items() if tables.files[file_id].owner == owner.id
    )
    return total


def is_empty(sft: Application) -> bool:
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    return not begin.snapshot().files and not [*sft.vault.store_part.blobs.list()]


# --- exact to the byte -----------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [False, True])
@pytest.mark.parametrize("before", [0, 1, PART, QUOTA - 1])
def test_a_file_that_fits_to_the_last_byte_is_taken(
    sft: Application, maya: User, before: int, *, announced: bool
) -> None:
    """And then not a byte more; what was refused leaves nothing."""
    first = stored(sft, maya, before)
    for _ in range(2):
        with pytest.raises(QuotaExceeded):
            stored(sft, maya, QUOTA - before + 1, announced=announced)
        assert used(sft, maya) == before
    assert stored(sft, maya, QUOTA - before, announced=announced).size == QUOTA - before
    assert used(sft, maya) == QUOTA
    with pytest.raises(QuotaExceeded):
        stored(sft, maya, 1, announced=announced)
    assert stored(sft, maya, 0, announced=announced).size == 0
    sft.vault.delete_file(owner=maya.id, file_id=first.id)
    assert used(sft, maya) == QUOTA - before


def test_a_refusal_leaves_nothing(sft: Application, maya: User) -> None:
    """Neither row nor part nor hold stays of a file that turned out too large while it came."""
    with pytest.raises(QuotaExceeded):
        stored(sft, maya, QUOTA + 1)
    assert is_empty(sft)
    assert used(sft, maya) == 0


def test_what_is_announced_is_refused_unread(sft: Application, maya: User) -> None:
    """Not a byte is read of a file that cannot fit."""
    taken: list[int] = []

    def content() -> Iterator[bytes]:
        taken.append(1)
        yield bytes(QUOTA + 1)

    with pytest.raises(QuotaExceeded):
        sft.vault.store_file(owner=maya.id, name=NAME, content=content(), announced_size=QUOTA + 1)
    assert taken == []
    assert is_empty(sft)


@pytest.mark.parametrize("overhead", [1, 200, QUOTA, 3 * QUOTA])
def test_what_stands_around_a_file_counts_for_nothing(sft: Application, maya: User, overhead: int) -> None:
    """A form as large as the quota and all its overhead may still hold a file that fits, and does."""
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=QUOTA + overhead, overhead=overhead)
    for _ in range(QUOTA // PART):
        sft.vault.store_part(upload, bytes(PART))
    with pytest.raises(QuotaExceeded):
        sft.vault.store_part(upload, b"x")
    assert sft.sharing.seal_upload(upload).file.size == QUOTA
    with pytest.raises(QuotaExceeded):
        sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=overhead + 1, overhead=overhead)


def test_the_figures_are_those_of_the_callers_other_files(sft: Application, maya: User) -> None:
    """Neither another's files count nor what has come of the refused one."""
    noor = register(sft, "noor")
    stored(sft, noor, 700)
    stored(sft, maya, 350)
    for announced in (False, True):
        with pytest.raises(QuotaExceeded) as refused:
            stored(sft, maya, 651, announced=announced)
        assert (refused.value.quota, refused.value.used) == (QUOTA, 350)
        assert refused.value.public == "The file exceeds your quota: 350 of 1000 bytes are in use."


def test_without_a_quota_all_is_counted_and_nothing_refused() -> None:
    """A quota that is set later meets what is there."""
    sft = memory_application(environ=LIGHT | {"USER_QUOTA": "0"})
    noor = register(sft, "noor")
    assert sft.vault.begin_upload.policy.quota is None
    stored(sft, noor, 5000)
    stored(sft, noor, 5000, announced=True)
    assert used(sft, noor) == 10_000
    later = attrs.evolve(sft.vault.begin_upload, policy=VaultPolicy(max_file_size=1 << 20, quota=10_000))
    with pytest.raises(QuotaExceeded):
        later(owner=noor.id, name=NAME, announced_size=1)


# --- given back once -------------------------------------------------------------------------------


def test_what_is_deleted_is_given_back_when_its_parts_are_gone(sft: Application, maya: User) -> None:
    """As long as the store cannot remove them they take room; however often it is tried, once."""
    kept, file = stored(sft, maya, 300), stored(sft, maya, 700)
    blobs = FaultyBlobs(sft.vault.delete_file.blobs, {("delete", 2): BlobStoreUnavailable("no answer")})
    attrs.evolve(sft.vault.delete_file, blobs=blobs)(owner=maya.id, file_id=file.id)
    assert used(sft, maya) == 1000
    for _ in range(3):
        purge(sft.vault.abort_upload.begin, sft.vault.abort_upload.blobs, file.id)
        assert used(sft, maya) == 300
    purge(sft.vault.abort_upload.begin, sft.vault.abort_upload.blobs, kept.id)
    assert used(sft, maya) == 300


def test_an_upload_that_fails_or_is_given_up_gives_all_back(sft: Application, maya: User) -> None:
    """Held ahead or as it came, at the first part or the last."""
    for announced in (None, 500):
        upload = sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=announced)
        sft.vault.store_part(upload, bytes(400))
        sft.vault.abort_upload(upload)
        sft.vault.abort_upload(upload)
        assert used(sft, maya) == 0
    for at in range(5):
        blobs = FaultyBlobs(sft.vault.store_part.blobs, {("put", at): BlobStoreFull("no room")})
        store = attrs.evolve(small_parts(sft), store_part=attrs.evolve(sft.vault.store_part, blobs=blobs))
        with pytest.raises(BlobStoreFull):
            store(owner=maya.id, name=NAME, content=[bytes(500)])
        assert used(sft, maya) == 0


@pytest.mark.parametrize("happens", [False, True])
@pytest.mark.parametrize("lost_at", [1, 3])
def test_a_hold_without_an_answer_is_given_back(sft: Application, maya: User, lost_at: int, *, happens: bool) -> None:
    """Whether the bytes were held or not when the database went away, in the end they are not."""
    assert isinstance(sft.vault.store_part.begin, MemoryDatabase)
    begin = LostCommitDatabase(sft.vault.store_part.begin, lost_at, happens=happens)
    with pytest.raises(DatabaseUnavailable):
        small_parts(sft, begin=begin)(owner=maya.id, name=NAME, content=[bytes(500)])
    assert is_empty(sft)
    assert used(sft, maya) == 0


@pytest.mark.parametrize("announced", [None, 500, 1000])
def test_a_file_holds_what_it_has_once_it_is_sealed(sft: Application, maya: User, announced: int | None) -> None:
    """What was announced or held ahead and did not come is given back with the seal."""
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=announced, overhead=100)
    sft.vault.store_part(upload, bytes(400))
    sft.sharing.seal_upload(upload)
    assert used(sft, maya) == 400


# --- asked for seldom ------------------------------------------------------------------------------


def counted(sft: Application, owner: User, parts: int, announced: int | None) -> tuple[int, UploadSession]:
    """
    How often the parts of an upload under a generous quota change a row.
    """
    assert isinstance(sft.vault.store_part.begin, MemoryDatabase)
    begin = CountingDatabase(sft.vault.store_part.begin)
    policy = VaultPolicy(max_file_size=1 << 40, quota=1 << 40)
    part = attrs.evolve(sft.vault.store_part, begin=begin, policy=policy)
    beginning = attrs.evolve(sft.vault.begin_upload, policy=policy, part_size=PART)
    upload = beginning(owner=owner.id, name=NAME, announced_size=announced)
    for _ in range(parts):
        part(upload, bytes(PART))
    return begin.changes, upload


def test_the_parts_of_an_announced_upload_ask_for_nothing_more(sft: Application, maya: User) -> None:
    """What is held from the beginning is not asked for again."""
    assert counted(sft, maya, MANIFEST_PAGE - 1, PART * MANIFEST_PAGE)[0] == 0


def test_an_upload_of_unknown_size_holds_in_growing_steps(sft: Application, maya: User) -> None:
    """Each time twice as much, so that sixty parts ask five times; and never far ahead."""
    changes, upload = counted(sft, maya, 60, None)
    assert (changes, upload.reserved_bytes) == (5, 62 * PART)
    assert upload.reserved_bytes == used(sft, maya)
    large = attrs.evolve(upload, received=10 * MAX_PREALLOCATION, reserved_bytes=10 * MAX_PREALLOCATION)
    policy = VaultPolicy(max_file_size=11 * MAX_PREALLOCATION + 50)
    attrs.evolve(sft.vault.store_part, policy=policy)(large, bytes(PART))
    assert large.reserved_bytes == 11 * MAX_PREALLOCATION + 50


def test_near_the_quota_nothing_is_held_that_may_not_come(sft: Application, maya: User) -> None:
    """What is held ahead keeps no file out that fits: near its end the quota is held byte by byte."""
    policy = VaultPolicy(max_file_size=1 << 40, quota=PREALLOCATION_MARGIN + 1000)
    begin = attrs.evolve(sft.vault.begin_upload, policy=policy)
    part = attrs.evolve(sft.vault.store_part, policy=policy)
    plenty, scarce = (begin(owner=maya.id, name=NAME) for _ in range(2))
    for upload in (plenty, scarce):
        part(upload, bytes(300))
    assert (plenty.reserved_bytes, scarce.reserved_bytes) == (600, 300)
    rest = PREALLOCATION_MARGIN + 1000 - 900
    fitting = begin(owner=maya.id, name=NAME, announced_size=rest + 50, overhead=50)
    assert fitting.reserved_bytes == rest
    with pytest.raises(QuotaExceeded):
        part(scarce, b"x")
    part(plenty, bytes(300))
