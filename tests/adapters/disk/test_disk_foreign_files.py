"""
Things that somebody put into a store's folder, and a folder that cannot be written to.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

import pytest

from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.testkit.contracts.blobs import ELSEWHERE, KEY, put, read
from sft_core.errors import BlobExists, BlobMissing, BlobSizeMismatch, BlobStoreUnavailable, SftError

FOLDER, NAME = KEY.split("/")
SECRET = b"somebody else's"
NOBODY = 65534


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    root = tmp_path / "blobs"
    root.mkdir()
    return DiskBlobs(root)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """
    A folder that is none of the store's, with a file in it that has a blob's name.
    """
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / NAME).write_bytes(SECRET)
    return folder


def linked_folder(root: Path, outside: Path) -> None:
    (root / FOLDER).symlink_to(outside)


def linked_file(root: Path, outside: Path) -> None:
    (root / FOLDER).mkdir()
    (root / KEY).symlink_to(outside / NAME)


def dangling_link(root: Path, outside: Path) -> None:
    (root / FOLDER).mkdir()
    (root / KEY).symlink_to(outside / "nothing")


def pipe(root: Path, _outside: Path) -> None:
    (root / FOLDER).mkdir()
    os.mkfifo(root / KEY)


def folder(root: Path, _outside: Path) -> None:
    (root / KEY).mkdir(parents=True)


def pipe_for_folder(root: Path, _outside: Path) -> None:
    os.mkfifo(root / FOLDER)


def file_for_folder(root: Path, _outside: Path) -> None:
    (root / FOLDER).write_bytes(SECRET)


PLANTED = [linked_folder, linked_file, dangling_link, pipe, folder, pipe_for_folder, file_for_folder]


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_is_neither_followed_nor_waited_for(
    blobs: DiskBlobs, outside: Path, plant: Callable[[Path, Path], None]
) -> None:
    """Each call ends at once in an answer or an error of ours, and what lies outside stays as it is."""
    put(blobs, ELSEWHERE, b"neighbour")
    plant(blobs.root, outside)
    with pytest.raises(BlobMissing):
        read(blobs, KEY, 0, len(SECRET), size=len(SECRET))
    with pytest.raises((BlobExists, BlobStoreUnavailable)):
        put(blobs, KEY, b"content")
    assert [info.key for info in blobs.list()] == [ELSEWHERE]
    assert list(blobs.list(f"{FOLDER}/")) == []
    far = datetime.now(UTC) + timedelta(days=1)
    assert (blobs.count_expired(before=far), blobs.delete_expired(before=far, limit=9)) == (0, 0)
    try:
        blobs.delete(KEY)
    except SftError as error:
        assert type(error) is BlobStoreUnavailable  # noqa: PT017 (it may succeed as well)
    assert [path.name for path in outside.iterdir()] == [NAME]
    assert (outside / NAME).read_bytes() == SECRET
    assert read(blobs, ELSEWHERE, 0, 9, size=9) == b"neighbour"


def test_what_is_planted_as_a_blob_goes_with_it(blobs: DiskBlobs, outside: Path) -> None:
    """A delete removes a link and not what it leads to, and the key is free again."""
    linked_file(blobs.root, outside)
    blobs.delete(KEY)
    put(blobs, KEY, b"content")
    assert read(blobs, KEY, 0, 7, size=7) == b"content"
    assert (outside / NAME).read_bytes() == SECRET


def test_a_hard_link_is_a_file_of_another_size_or_for_the_cipher_to_find(blobs: DiskBlobs, outside: Path) -> None:
    """It is never written to, and a delete takes this name of it only."""
    (blobs.root / FOLDER).mkdir()
    os.link(outside / NAME, blobs.root / KEY)
    with pytest.raises(BlobSizeMismatch):
        read(blobs, KEY, 0, 7, size=7)
    with pytest.raises(BlobExists):
        put(blobs, KEY, b"content")
    assert (outside / NAME).read_bytes() == SECRET
    blobs.delete(KEY)
    assert (outside / NAME).read_bytes() == SECRET


@pytest.mark.parametrize("change", [b"x", None, -1])
def test_a_blob_that_is_gone_or_has_another_length_is_told(blobs: DiskBlobs, change: bytes | int | None) -> None:
    """Missing, one byte short, one byte long: wherever it is read, also where the bytes asked for are there."""
    put(blobs, KEY, b"content")
    path = blobs.root / KEY
    if change is None:
        path.unlink()
    else:
        path.write_bytes(b"content" + change if isinstance(change, bytes) else b"content"[:change])
    for start, length in ((0, 7), (1, 2), (7, 0)):
        with pytest.raises(BlobMissing if change is None else BlobSizeMismatch):
            read(blobs, KEY, start, length, size=7)


def test_where_the_store_itself_is_gone_nothing_is_called_lost(blobs: DiskBlobs) -> None:
    """A disk that is not mounted is unavailable: neither is a blob missing, nor has a delete done its work."""
    shutil.rmtree(blobs.root)
    actions: list[Callable[[], object]] = [
        lambda: read(blobs, KEY, 0, 1, size=1),
        lambda: put(blobs, KEY, b"x"),
        lambda: blobs.delete(KEY),
        lambda: list(blobs.list()),
        lambda: list(blobs.list(f"{FOLDER}/")),
    ]
    for action in actions:
        with pytest.raises(BlobStoreUnavailable):
            action()


@contextmanager
def unprivileged() -> Iterator[None]:
    """
    Whatever happens inside the block happens without a superuser's rights.
    """
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def guarded() -> Iterator[DiskBlobs]:
    """
    A store with one blob, in a place that everybody can reach.
    """
    root = Path(mkdtemp())
    if os.geteuid() == 0:
        os.chown(root, NOBODY, NOBODY)
    with unprivileged():
        put(DiskBlobs(root), ELSEWHERE, b"neighbour")
    yield DiskBlobs(root)
    for path in (root, *root.iterdir()):
        path.chmod(0o700)
    shutil.rmtree(root)


def test_a_folder_that_cannot_be_written_to_is_unavailable(guarded: DiskBlobs) -> None:
    """What changes something says so and has changed nothing; what reads goes on."""
    inside = ELSEWHERE.partition("/")[0]
    for place in (guarded.root, guarded.root / inside):
        with unprivileged():
            place.chmod(0o500)
            key = KEY if place == guarded.root else f"{inside}/2"
            with pytest.raises(BlobStoreUnavailable, match="EACCES"):
                put(guarded, key, b"content")
            if place != guarded.root:
                with pytest.raises(BlobStoreUnavailable, match="EACCES"):
                    guarded.delete(ELSEWHERE)
            assert [info.key for info in guarded.list()] == [ELSEWHERE]
            assert read(guarded, ELSEWHERE, 0, 9, size=9) == b"neighbour"
            place.chmod(0o700)


def test_what_may_not_be_looked_into_is_not_called_lost(guarded: DiskBlobs) -> None:
    """A folder that this user may not enter: its blobs are not missing."""
    with unprivileged():
        (guarded.root / ELSEWHERE).parent.chmod(0o000)
        with pytest.raises(BlobStoreUnavailable):
            read(guarded, ELSEWHERE, 0, 9, size=9)
        with pytest.raises(BlobStoreUnavailable):
            list(guarded.list())


def test_a_folder_that_is_none_of_ours_is_passed_over(guarded: DiskBlobs) -> None:
    """Where a disk's own root is the store, the file system keeps a folder there that nobody may enter."""
    (guarded.root / "lost+found").mkdir(0o700)
    (guarded.root / "lost+found").chmod(0o000)
    far = datetime.now(UTC) + timedelta(days=1)
    with unprivileged():
        assert [info.key for info in guarded.list()] == [ELSEWHERE]
        assert (guarded.count_expired(before=far), guarded.delete_expired(before=far, limit=9)) == (0, 0)
    assert (guarded.root / "lost+found").is_dir()


def test_a_file_folder_that_stayed_empty_is_let_go_of(blobs: DiskBlobs) -> None:
    """As a delete leaves one that was cut off before its end; a young one may be about to be used."""
    for name in (FOLDER, "ab"):
        (blobs.root / name).mkdir()
    os.utime(blobs.root / FOLDER, (1000, 1000))
    before = datetime.fromtimestamp(1001, UTC)
    assert blobs.count_expired(before=before) == 1
    assert blobs.delete_expired(before=before, limit=9) == 1
    assert [path.name for path in blobs.root.iterdir()] == ["ab"]
