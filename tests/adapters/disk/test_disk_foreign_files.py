"""
Foreign entries in a store's folder, and a folder without write permission.
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
UNPRIVILEGED_USER = 65534


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    root = tmp_path / "blobs"
    root.mkdir()
    return DiskBlobs(root)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """
    A folder outside the store, with a file that has a blob's name.
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
def test_foreign_entry_is_neither_followed_nor_waited_for(
    blobs: DiskBlobs, outside: Path, plant: Callable[[Path, Path], None]
) -> None:
    """Each call returns or raises an SftError at once, and files outside the store stay unchanged."""
    put(blobs, ELSEWHERE, b"neighbour")
    plant(blobs.root, outside)
    with pytest.raises(BlobMissing):
        read(blobs, KEY, 0, len(SECRET), size=len(SECRET))
    with pytest.raises((BlobExists, BlobStoreUnavailable)):
        put(blobs, KEY, b"content")
    assert [info.key for info in blobs.list()] == [ELSEWHERE]
    assert list(blobs.list(f"{FOLDER}/")) == []
    later = datetime.now(UTC) + timedelta(days=1)
    assert (blobs.count_expired(before=later), blobs.delete_expired(before=later, limit=9)) == (0, 0)
    try:
        blobs.delete(KEY)
    except SftError as error:
        assert type(error) is BlobStoreUnavailable  # noqa: PT017 (it may succeed as well)
    assert [path.name for path in outside.iterdir()] == [NAME]
    assert (outside / NAME).read_bytes() == SECRET
    assert read(blobs, ELSEWHERE, 0, 9, size=9) == b"neighbour"


def test_link_planted_as_a_blob_is_deleted(blobs: DiskBlobs, outside: Path) -> None:
    """A delete removes the link but not its target, and the key can be used again."""
    linked_file(blobs.root, outside)
    blobs.delete(KEY)
    put(blobs, KEY, b"content")
    assert read(blobs, KEY, 0, 7, size=7) == b"content"
    assert (outside / NAME).read_bytes() == SECRET


def test_hard_link_is_not_followed(blobs: DiskBlobs, outside: Path) -> None:
    """The linked file is never written to, and a delete removes only this name."""
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
def test_missing_or_resized_blob_is_reported(blobs: DiskBlobs, change: bytes | int | None) -> None:
    """A missing, shorter or longer blob is reported for any range, even one that could still be read."""
    put(blobs, KEY, b"content")
    path = blobs.root / KEY
    if change is None:
        path.unlink()
    else:
        path.write_bytes(b"content" + change if isinstance(change, bytes) else b"content"[:change])
    for start, length in ((0, 7), (1, 2), (7, 0)):
        with pytest.raises(BlobMissing if change is None else BlobSizeMismatch):
            read(blobs, KEY, start, length, size=7)


def test_missing_store_is_unavailable(blobs: DiskBlobs) -> None:
    """An unmounted disk is unavailable: no blob is reported missing, and no delete succeeds."""
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
    Run the block without superuser rights.
    """
    user = os.geteuid()
    if user == 0:
        os.seteuid(UNPRIVILEGED_USER)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def guarded() -> Iterator[DiskBlobs]:
    """
    A store with one blob, in a folder that every user can reach.
    """
    root = Path(mkdtemp())
    if os.geteuid() == 0:
        os.chown(root, UNPRIVILEGED_USER, UNPRIVILEGED_USER)
    with unprivileged():
        put(DiskBlobs(root), ELSEWHERE, b"neighbour")
    yield DiskBlobs(root)
    for path in (root, *root.iterdir()):
        path.chmod(0o700)
    shutil.rmtree(root)


def test_folder_without_write_permission_is_unavailable(guarded: DiskBlobs) -> None:
    """Changes are refused without effect, and reads still work."""
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


def test_unreadable_folder_is_unavailable(guarded: DiskBlobs) -> None:
    """Blobs in a folder that this user may not enter are not reported missing."""
    with unprivileged():
        (guarded.root / ELSEWHERE).parent.chmod(0o000)
        with pytest.raises(BlobStoreUnavailable):
            read(guarded, ELSEWHERE, 0, 9, size=9)
        with pytest.raises(BlobStoreUnavailable):
            list(guarded.list())


def test_foreign_folder_is_skipped(guarded: DiskBlobs) -> None:
    """At the root of a file system the store contains `lost+found`, which only root may enter."""
    (guarded.root / "lost+found").mkdir(0o700)
    (guarded.root / "lost+found").chmod(0o000)
    later = datetime.now(UTC) + timedelta(days=1)
    with unprivileged():
        assert [info.key for info in guarded.list()] == [ELSEWHERE]
        assert (guarded.count_expired(before=later), guarded.delete_expired(before=later, limit=9)) == (0, 0)
    assert (guarded.root / "lost+found").is_dir()


def test_old_empty_folder_is_deleted(blobs: DiskBlobs) -> None:
    """Interrupted deletes leave empty folders; a recent one may be about to be used."""
    for name in (FOLDER, "ab"):
        (blobs.root / name).mkdir()
    os.utime(blobs.root / FOLDER, (1000, 1000))
    before = datetime.fromtimestamp(1001, UTC)
    assert blobs.count_expired(before=before) == 1
    assert blobs.delete_expired(before=before, limit=9) == 1
    assert [path.name for path in blobs.root.iterdir()] == ["ab"]
