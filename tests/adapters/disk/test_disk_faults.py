"""
A folder of blobs when the disk, the operating system or another program misbehaves.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.testkit.contracts.blobs import KEY, OTHER, put, read
from sft_core.errors import BlobMissing, BlobStoreFull, BlobStoreUnavailable, InvalidValue, SftError

CONTENT = os.urandom(50_000)
CALLS = ("open", "write", "fsync", "close", "link", "unlink", "mkdir")


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path)


def all_files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if not path.is_dir()]


def test_files_and_folders_are_private(blobs: DiskBlobs) -> None:
    """Other users of the machine can neither read a blob nor list a folder."""
    put(blobs, KEY, CONTENT)
    path = blobs.root / KEY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.stat().st_nlink == 1


@pytest.mark.parametrize(
    "key",
    ["../x", "a/../../x", "/etc/passwd", "a", "a/b/c", "a/", "/b", "a/.b", "A/B", "a/b\0", "x/y", "", "a/" + "b" * 65],
)
def test_malformed_key_is_refused(blobs: DiskBlobs, key: str) -> None:
    """A key is two words of hexadecimal digits and hyphens; no other key becomes a path."""
    actions: list[Callable[[], Any]] = [
        lambda: put(blobs, key, b"x"),
        lambda: read(blobs, key, 0, 1, size=1),
        lambda: blobs.delete(key),
    ]
    for action in actions:
        with pytest.raises(InvalidValue):
            action()
    assert all_files(blobs.root) == []


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
def test_foreign_entry_in_place_of_a_blob_is_not_read(blobs: DiskBlobs, tmp_path: Path, kind: str) -> None:
    """A symbolic link, a pipe or a folder is no blob; no call hangs, and nothing is overwritten."""
    (blobs.root / KEY).parent.mkdir()
    target = blobs.root / "target"
    target.write_bytes(b"secret")
    path_of_blob = blobs.root / KEY
    if kind == "link":
        path_of_blob.symlink_to(target)
    elif kind == "dangling":
        path_of_blob.symlink_to(tmp_path / "nowhere")
    elif kind == "pipe":
        os.mkfifo(path_of_blob)
    else:
        path_of_blob.mkdir()
    with pytest.raises(BlobMissing):
        read(blobs, KEY, 0, 6, size=6)
    with pytest.raises(SftError):
        put(blobs, KEY, b"other!")
    assert target.read_bytes() == b"secret"
    assert [info.key for info in blobs.list()] == []


def test_failed_put_leaves_neither_file_nor_folder(blobs: DiskBlobs) -> None:
    """After a failed put the store is as it was before."""
    with pytest.raises(SftError):
        put(blobs, KEY, CONTENT, size=1)
    assert list(blobs.root.iterdir()) == []
    put(blobs, OTHER, CONTENT)
    with pytest.raises(SftError):
        put(blobs, KEY, CONTENT, size=1)
    assert all_files(blobs.root) == [blobs.root / OTHER]


def test_temporary_file_of_a_crash_is_not_listed(blobs: DiskBlobs) -> None:
    """A killed process's temporary file is no blob and does not prevent deleting the others."""
    put(blobs, KEY, CONTENT)
    (blobs.root / KEY).with_name(".new-0123456789abcdef").write_bytes(b"half")
    assert [info.key for info in blobs.list()] == [KEY]
    blobs.delete(KEY)
    assert list(blobs.list()) == []


@pytest.fixture
def fail_nth(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], list[str]]]:
    """
    Make the N-th system call fail with an error number, and return the list of calls made.
    """

    def install(nth: int, number: int) -> list[str]:
        calls_made: list[str] = []

        def wrap(name: str) -> Any:
            real = getattr(os, name)

            def call(*args: Any, **kwargs: Any) -> Any:
                calls_made.append(name)
                if len(calls_made) == nth:
                    if name == "close":
                        real(*args, **kwargs)
                    raise OSError(number, "injected")
                return real(*args, **kwargs)

            return call

        for name in CALLS:
            monkeypatch.setattr(os, name, wrap(name))
        return calls_made

    yield install
    monkeypatch.undo()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_blob_is_complete_or_absent_whichever_call_fails(
    blobs: DiskBlobs, fail_nth: Callable[[int, int], list[str]], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The put raises an SftError and cleans up as far as possible, and a put under another key succeeds."""
    put(blobs, OTHER, b"neighbour")
    nth = 0
    while True:
        nth += 1
        calls_made = fail_nth(nth, number)
        key = f"00{nth:04x}/1-{nth:08x}"
        failed = True
        try:
            put(blobs, key, CONTENT)
            failed = False
        except BlobStoreFull:
            assert number in {errno.ENOSPC, errno.EDQUOT}
        except BlobStoreUnavailable:
            assert number not in {errno.ENOSPC, errno.EDQUOT}
        calls = len(calls_made)
        monkeypatch.undo()
        if failed and calls_made[nth - 1] != "close":
            assert all_files(blobs.root) == [blobs.root / OTHER], "the failed put left a file"
        sizes = {info.key: info.size for info in blobs.list()}
        assert sizes.get(key, len(CONTENT)) == len(CONTENT)
        assert sizes[OTHER] == 9
        if not failed:
            assert read(blobs, key, 0, len(CONTENT), size=len(CONTENT)) == CONTENT
        if calls < nth:
            break
        blobs.delete(key)
    assert nth > 8


def test_reserve_is_not_used_for_blobs(tmp_path: Path) -> None:
    """A put that would use the reserve is refused before it begins; reads and deletes still work."""
    put(DiskBlobs(tmp_path, reserve=1), KEY, CONTENT)
    reserving = DiskBlobs(tmp_path, reserve=1 << 62)
    with pytest.raises(BlobStoreFull):
        put(reserving, OTHER, b"x")
    assert all_files(tmp_path) == [tmp_path / KEY]
    assert read(reserving, KEY, 0, len(CONTENT), size=len(CONTENT)) == CONTENT
    reserving.delete(KEY)
    assert list(tmp_path.iterdir()) == []


def test_free_space_is_not_read_without_a_reserve(blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that does not report its free space works if there is no reserve."""
    monkeypatch.delattr(os, "statvfs")
    put(blobs, KEY, CONTENT)


def test_size_beyond_the_free_space_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is the free space above the reserve; a file system that reports no sizes accepts everything."""
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    DiskBlobs(tmp_path).require_bytes(free // 2)
    for blobs, size in ((DiskBlobs(tmp_path), 1 << 62), (DiskBlobs(tmp_path, reserve=1 << 62), 1)):
        with pytest.raises(BlobStoreFull):
            blobs.require_bytes(size)
    with pytest.raises(BlobStoreUnavailable):
        DiskBlobs(tmp_path / "gone").require_bytes(1)
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result([0] * 10))
    DiskBlobs(tmp_path, reserve=1).require_bytes(1 << 62)


def test_error_of_the_pieces_is_raised_unchanged(blobs: DiskBlobs) -> None:
    """An error of the source is raised unchanged, not as one of the disk, and nothing is stored."""

    def pieces() -> Iterator[bytes]:
        yield b"a piece"
        raise ConnectionResetError(errno.ECONNRESET, "the source has gone")

    with pytest.raises(ConnectionResetError):
        blobs.put(KEY, pieces(), size=100)
    assert list(blobs.root.iterdir()) == []


def test_short_write_is_continued(blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system may write fewer bytes than requested."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:777]))
    put(blobs, KEY, CONTENT)
    assert read(blobs, KEY, 0, len(CONTENT), size=len(CONTENT)) == CONTENT


def test_short_read_is_continued(blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system may read fewer bytes than requested."""
    put(blobs, KEY, CONTENT)
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda descriptor, buffers, at: real(descriptor, [buffers[0][:777]], at))
    assert read(blobs, KEY, 0, len(CONTENT), size=len(CONTENT)) == CONTENT


def test_missing_root_is_unavailable(tmp_path: Path) -> None:
    """A missing store folder raises BlobStoreUnavailable."""
    with pytest.raises(BlobStoreUnavailable):
        put(DiskBlobs(tmp_path / "gone"), KEY, b"x")
    with pytest.raises(BlobStoreUnavailable):
        list(DiskBlobs(tmp_path / "gone").list())


def test_concurrent_puts_and_deletes_in_one_folder(blobs: DiskBlobs) -> None:
    """While one thread empties a folder, another can put into it."""
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            put(blobs, OTHER, b"x")
            blobs.delete(OTHER)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for number in range(100):
            key = f"{KEY}{number:x}"
            put(blobs, key, b"content")
            assert read(blobs, key, 0, 7, size=7) == b"content"
            blobs.delete(key)
    finally:
        stop.set()
        thread.join()


def test_descriptors_are_closed(blobs: DiskBlobs) -> None:
    """Neither success nor failure leaves an open descriptor."""
    put(blobs, KEY, CONTENT)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        read(blobs, KEY, 0, 10, size=len(CONTENT))
        with pytest.raises(SftError):
            read(blobs, KEY, 0, 10, size=1)
        with pytest.raises(SftError):
            put(blobs, KEY, CONTENT)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture
def store_unreadable(blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """
    Stores this many old blobs in folders that cannot be read, between two blobs in readable folders.
    """

    def make(count: int) -> list[str]:
        keys = [f"{number:032x}/1-00000000-{number:016x}" for number in range(count + 2)]
        for key in keys:
            put(blobs, key, CONTENT[:9])
            interrupted = (blobs.root / key).with_name(".new-1")
            interrupted.write_bytes(b"half")
            os.utime(interrupted, (1000, 1000))
        broken, real = {(blobs.root / key).parent for key in keys[1:-1]}, os.open

        def opened(path: Path | str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if path in broken:
                raise OSError(errno.EIO, "a bad block")
            return real(path, flags, mode, dir_fd=dir_fd)

        monkeypatch.setattr(os, "open", opened)
        return [keys[0], keys[-1]]

    return make


def test_unreadable_folder_does_not_hide_others(blobs: DiskBlobs, store_unreadable: Callable[[int], list[str]]) -> None:
    """Readable blobs are listed and expired files deleted; then BlobStoreUnavailable is raised."""
    readable = store_unreadable(1)
    found: list[str] = []
    with pytest.raises(BlobStoreUnavailable, match="EIO"):
        found.extend(blob.key for blob in blobs.list())
    assert found == readable
    before = datetime.fromtimestamp(1001, UTC)
    assert [blobs.delete_expired(before=before, limit=1) for _ in range(2)] == [1, 1]
    with pytest.raises(BlobStoreUnavailable, match="EIO"):
        blobs.delete_expired(before=before, limit=1)
    with pytest.raises(BlobStoreUnavailable, match="EIO"):
        blobs.count_expired(before=before)


def test_undeletable_leftover_does_not_protect_others(blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files after it are deleted; then BlobStoreUnavailable is raised."""
    leftovers = [blobs.root / name / ".new-1" for name in ("aa", "bb", "cc")]
    for path in leftovers:
        path.parent.mkdir()
        path.write_bytes(b"half")
        os.utime(path, (1000, 1000))
    kept, real = leftovers[0].parent.stat().st_ino, os.unlink

    def unlink(path: Path | str, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None and os.fstat(dir_fd).st_ino == kept:
            raise OSError(errno.EACCES, "may not be changed")
        real(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)
    before = datetime.fromtimestamp(1001, UTC)
    assert blobs.delete_expired(before=before, limit=1) == 1
    with pytest.raises(BlobStoreUnavailable, match="EACCES"):
        blobs.delete_expired(before=before, limit=10)
    assert [path.exists() for path in leftovers] == [True, False, False]


def test_unreadable_disk_stops_the_listing(blobs: DiskBlobs, store_unreadable: Callable[[int], list[str]]) -> None:
    """After a limited number of unreadable folders the listing stops."""
    readable = store_unreadable(101)
    found: list[str] = []
    with pytest.raises(BlobStoreUnavailable, match="EIO"):
        found.extend(blob.key for blob in blobs.list())
    assert found == readable[:1]


def test_leftovers_of_a_killed_put_are_deleted(blobs: DiskBlobs) -> None:
    """Temporary files and empty folders are deleted once expired; blobs and recent ones stay."""
    put(blobs, KEY, CONTENT)
    interrupted, recent = blobs.root / KEY.partition("/")[0] / ".new-1", blobs.root / "ab" / ".new-2"
    old = blobs.root / "cd" / ".new-3"
    for path in (interrupted, recent, old):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    empty, new = blobs.root / "ef", blobs.root / "0123"
    for path in (empty, new):
        path.mkdir()
    for path in (interrupted, old, empty, blobs.root / KEY):
        os.utime(path, (1000, 1000))
    before = datetime.fromtimestamp(1001, UTC)
    assert blobs.count_expired(before=datetime.fromtimestamp(1000, UTC)) == 0
    assert blobs.count_expired(before=before) == 3
    assert [blobs.delete_expired(before=before, limit=1) for _ in range(4)] == [1, 1, 1, 0]
    assert set(all_files(blobs.root)) == {recent, blobs.root / KEY}
    assert not old.parent.exists()
    assert not empty.exists()
    assert new.exists()
    assert read(blobs, KEY, 0, len(CONTENT), size=len(CONTENT)) == CONTENT
