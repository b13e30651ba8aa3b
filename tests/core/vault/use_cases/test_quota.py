"""
User quotas: exact to the byte, released once, and reserved in few steps.
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
from sft_core.vault.use_cases import StoreFile, UploadSession, purge
from sft_core.vault.use_cases.quota import MAX_PREALLOCATION, PREALLOCATION_MARGIN
from support.app.library import LIGHT, CountingDatabase, FaultyBlobs, LostCommitDatabase, register

NAME = FileName.parse("notes.txt")
QUOTA = 1000
PART = 100


@pytest.fixture
def sft() -> Application:
    return memory_application(environ=LIGHT | {"USER_QUOTA": str(QUOTA)})


def small_parts(sft: Application, *, begin: LostCommitDatabase | None = None) -> StoreFile:
    """
    The use case that stores a file, with parts of a hundred bytes, optionally on another database.
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
    Bytes used by the owner; asserts that they equal the sum of the reservations of the owner's files.
    """
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    tables = begin.snapshot()
    total = tables.usages.get(owner.id, 0)
    assert total == sum(
        reserved for file_id, reserved in tables.reservations.items() if tables.files[file_id].owner == owner.id
    )
    return total


def is_empty(sft: Application) -> bool:
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    return not begin.snapshot().files and not [*sft.vault.store_part.blobs.list()]


# --- exact to the byte -----------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [False, True])
@pytest.mark.parametrize("before", [0, 1, PART, QUOTA - 1])
def test_file_that_exactly_fits_is_accepted(sft: Application, maya: User, before: int, *, announced: bool) -> None:
    """One more byte is refused, and a refused file leaves nothing."""
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


def test_refused_file_leaves_nothing(sft: Application, maya: User) -> None:
    """No row, part or reservation remains of a file that turned out too large."""
    with pytest.raises(QuotaExceeded):
        stored(sft, maya, QUOTA + 1)
    assert is_empty(sft)
    assert used(sft, maya) == 0


def test_announced_size_beyond_the_quota_is_refused_unread(sft: Application, maya: User) -> None:
    """Not a byte is read of a file that cannot fit."""
    consumed: list[int] = []

    def content() -> Iterator[bytes]:
        consumed.append(1)
        yield bytes(QUOTA + 1)

    with pytest.raises(QuotaExceeded):
        sft.vault.store_file(owner=maya.id, name=NAME, content=content(), announced_size=QUOTA + 1)
    assert consumed == []
    assert is_empty(sft)


@pytest.mark.parametrize("overhead", [1, 200, QUOTA, 3 * QUOTA])
def test_form_overhead_does_not_count(sft: Application, maya: User, overhead: int) -> None:
    """A form whose content length exceeds the quota may contain a file that fits."""
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=QUOTA + overhead, overhead=overhead)
    for _ in range(QUOTA // PART):
        sft.vault.store_part(upload, bytes(PART))
    with pytest.raises(QuotaExceeded):
        sft.vault.store_part(upload, b"x")
    assert sft.sharing.seal_upload(upload).file.size == QUOTA
    with pytest.raises(QuotaExceeded):
        sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=overhead + 1, overhead=overhead)


def test_reported_usage_is_that_of_the_callers_other_files(sft: Application, maya: User) -> None:
    """Neither other users' files nor the refused file count."""
    noor = register(sft, "noor")
    stored(sft, noor, 700)
    stored(sft, maya, 350)
    for announced in (False, True):
        with pytest.raises(QuotaExceeded) as refused:
            stored(sft, maya, 651, announced=announced)
        assert (refused.value.quota, refused.value.used) == (QUOTA, 350)
        assert refused.value.public == "The file exceeds your quota: 350 of 1000 bytes are in use."


def test_without_a_quota_usage_is_counted_and_nothing_refused() -> None:
    """A quota set later counts the existing files."""
    sft = memory_application(environ=LIGHT | {"USER_QUOTA": "0"})
    noor = register(sft, "noor")
    assert sft.vault.begin_upload.policy.quota is None
    stored(sft, noor, 5000)
    stored(sft, noor, 5000, announced=True)
    assert used(sft, noor) == 10_000
    later = attrs.evolve(sft.vault.begin_upload, policy=VaultPolicy(max_file_size=1 << 20, quota=10_000))
    with pytest.raises(QuotaExceeded):
        later(owner=noor.id, name=NAME, announced_size=1)


# --- released once ---------------------------------------------------------------------------------


def test_deletion_releases_quota_after_its_parts(sft: Application, maya: User) -> None:
    """A deletion that fails keeps the reservation; repeated deletions release it once."""
    kept, file = stored(sft, maya, 300), stored(sft, maya, 700)
    blobs = FaultyBlobs(sft.vault.delete_file.blobs, {("delete", 2): BlobStoreUnavailable("no answer")})
    attrs.evolve(sft.vault.delete_file, blobs=blobs)(owner=maya.id, file_id=file.id)
    assert used(sft, maya) == 1000
    for _ in range(3):
        purge(sft.vault.abort_upload.begin, sft.vault.abort_upload.blobs, file.id)
        assert used(sft, maya) == 300
    purge(sft.vault.abort_upload.begin, sft.vault.abort_upload.blobs, kept.id)
    assert used(sft, maya) == 300


def test_failed_or_aborted_upload_releases_its_reservation(sft: Application, maya: User) -> None:
    """The reservation is released whether it was made in advance or part by part, at any part."""
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
def test_reservation_in_doubt_is_released(sft: Application, maya: User, lost_at: int, *, happens: bool) -> None:
    """Whether the reservation was committed or not, it is released in the end."""
    assert isinstance(sft.vault.store_part.begin, MemoryDatabase)
    begin = LostCommitDatabase(sft.vault.store_part.begin, lost_at, happens=happens)
    with pytest.raises(DatabaseUnavailable):
        small_parts(sft, begin=begin)(owner=maya.id, name=NAME, content=[bytes(500)])
    assert is_empty(sft)
    assert used(sft, maya) == 0


@pytest.mark.parametrize("announced", [None, 500, 1000])
def test_seal_reduces_the_reservation_to_the_size(sft: Application, maya: User, announced: int | None) -> None:
    """Bytes that were announced or reserved in advance and did not arrive are released at the seal."""
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME, announced_size=announced, overhead=100)
    sft.vault.store_part(upload, bytes(400))
    sft.sharing.seal_upload(upload)
    assert used(sft, maya) == 400


# --- reserved in few steps -------------------------------------------------------------------------


def count_reservations(sft: Application, owner: User, parts: int, announced: int | None) -> tuple[int, UploadSession]:
    """
    The number of row changes that the parts of an upload cause under a generous quota, and the upload.
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


def test_parts_of_an_announced_upload_reserve_nothing_more(sft: Application, maya: User) -> None:
    """The reservation made at the beginning covers all parts."""
    assert count_reservations(sft, maya, MANIFEST_PAGE - 1, PART * MANIFEST_PAGE)[0] == 0


def test_upload_of_unknown_size_reserves_in_growing_steps(sft: Application, maya: User) -> None:
    """Steps double, so sixty parts need five reservations, up to a maximum step."""
    changes, upload = count_reservations(sft, maya, 60, None)
    assert (changes, upload.reserved_bytes) == (5, 62 * PART)
    assert upload.reserved_bytes == used(sft, maya)
    large = attrs.evolve(upload, received=10 * MAX_PREALLOCATION, reserved_bytes=10 * MAX_PREALLOCATION)
    policy = VaultPolicy(max_file_size=11 * MAX_PREALLOCATION + 50)
    attrs.evolve(sft.vault.store_part, policy=policy)(large, bytes(PART))
    assert large.reserved_bytes == 11 * MAX_PREALLOCATION + 50


def test_no_bytes_are_reserved_in_advance_near_the_quota(sft: Application, maya: User) -> None:
    """Close to the quota bytes are reserved one part at a time, so a file that fits is not refused."""
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
