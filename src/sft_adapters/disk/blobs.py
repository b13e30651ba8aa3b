"""
Blobs as files: written under a temporary name, synced, then published under a name never reused.

A blob's file appears whole or not at all, also after a power cut: its bytes are synced before it
gets its name, and the folder is synced after. Nothing here follows a symbolic link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

import attrs

from sft_core.errors import (
    BlobExists,
    BlobMissing,
    BlobSizeMismatch,
    BlobStoreFull,
    BlobStoreUnavailable,
    InvalidValue,
)
from sft_core.vault.ports import BlobInfo, Buffer

_KEY: Final = re.compile(r"[0-9a-f-]{1,64}/[0-9a-f-]{1,64}")
_TEMPORARY: Final = ".new-"
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ABSENT: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR}
_ATTEMPTS: Final = 8


class _PieceError(Exception):
    """
    The pieces to be stored raised `error`: the caller's own, though it may look like the disk's.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """
    Turn the operating system's errors into the store's own; its words stay in the log's detail.
    """
    try:
        yield
    except _PieceError as failed:
        raise failed.error from None
    except OSError as error:
        detail = f"blob {key}: {errno.errorcode.get(error.errno or 0, 'unknown error')}"
        raise (BlobStoreFull if error.errno in _FULL else BlobStoreUnavailable)(detail) from error


@attrs.frozen
class DiskBlobs:
    """
    Implements `sft_core.vault.ports.BlobStore` in the folder `root`, which must exist.

    A put that would leave fewer than about `reserve` bytes free on its disk is `BlobStoreFull`
    before it begins: that room is for what lies beside the blobs, such as the database, without
    which nobody could delete anything. Puts at the same moment do not know of each other, so each
    may go as far below as a blob is large. With 0 the disk is filled to its end.

    What a process leaves that dies in the middle of a put is seen by nobody, and let go of by
    `prune`: the store implements `sft_core.ports.Expiring` as well. And it implements
    `sft_core.vault.ports.Room`, by what its disk has left.
    """

    root: Path
    reserve: int = attrs.field(default=0, kw_only=True)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        path = self._path(key)
        with _translated(key):
            if self.reserve:
                self._require_room(size)
            temporary, descriptor = self._created(path.parent)
            try:
                try:
                    _write_all(descriptor, pieces, key, size)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                self._publish(temporary, path, key)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                    _drop_if_empty(path.parent)
                raise
            os.unlink(temporary)
            _sync_folder(path.parent)

    def admit_bytes(self, size: int) -> None:
        with _translated("of a new upload"):
            self._require_room(size)

    def _require_room(self, size: int) -> None:
        disk = os.statvfs(self.root)
        # A file system that counts nothing says 0 of 0.
        if disk.f_blocks and disk.f_bavail * disk.f_frsize - size < self.reserve:
            raise BlobStoreFull(f"{size} bytes more would leave fewer than {self.reserve} free")

    def _created(self, folder: Path) -> tuple[Path, int]:
        """
        A new temporary file; the folder is made if need be, also when a delete removes it meanwhile.
        """
        temporary = folder / f"{_TEMPORARY}{secrets.token_hex(16)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                return temporary, os.open(temporary, flags, 0o600)
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)
                _sync_folder(self.root)
        raise BlobStoreUnavailable(f"folder {folder.name} cannot be made")

    def _publish(self, temporary: Path, path: Path, key: str) -> None:
        try:
            # A hard link, not a rename: it never replaces a file that is there.
            os.link(temporary, path, follow_symlinks=False)
        except FileExistsError:
            raise BlobExists(key) from None

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        with _translated(key), self._opened(key) as descriptor:
            length = os.fstat(descriptor).st_size
            if length != size:
                raise BlobSizeMismatch(f"blob {key} has {length} bytes, {size} are expected")
            done = 0
            while done < len(buffer):
                count = os.preadv(descriptor, [buffer[done:]], start + done)
                if count == 0:
                    raise BlobSizeMismatch(f"blob {key} ends at {start + done}, before what was asked for")
                done += count

    @contextmanager
    def _opened(self, key: str) -> Iterator[int]:
        # O_NONBLOCK: a pipe planted in a blob's place must not hang us.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path(key), flags)
        except OSError as error:
            if error.errno in _ABSENT:
                raise BlobMissing(f"blob {key} is not there") from None
            raise
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BlobMissing(f"blob {key} is not a file")
            yield descriptor
        finally:
            os.close(descriptor)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _translated(key):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            _drop_if_empty(path.parent)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        folder, slash, _ = prefix.partition("/")
        with _translated(prefix):
            names = [folder] if slash else sorted(os.listdir(self.root))
        for name in names:
            if name.startswith(folder):
                yield from self._in_folder(name, prefix)

    def _in_folder(self, folder: str, prefix: str) -> Iterator[BlobInfo]:
        with _translated(folder):
            try:
                entries = list(os.scandir(self.root / folder))
            except (FileNotFoundError, NotADirectoryError):
                return
            for entry in entries:
                key = f"{folder}/{entry.name}"
                if key.startswith(prefix) and _KEY.fullmatch(key) and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):
                        yield _info(key, entry.stat(follow_symlinks=False))

    def over(self, *, before: datetime) -> int:
        return sum(1 for _ in self._remains(before))

    def prune(self, *, before: datetime, limit: int) -> int:
        count = 0
        for path in islice(self._remains(before), limit):
            with _translated(path.parent.name):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                _drop_if_empty(path.parent)
            count += 1
        return count

    def _remains(self, before: datetime) -> Iterator[Path]:
        """
        Temporary files of puts that were cut off before then; a put takes no such time.
        """
        with _translated(""):
            folders = sorted(os.listdir(self.root))
        for folder in folders:
            with _translated(folder):
                try:
                    entries = list(os.scandir(self.root / folder))
                except (FileNotFoundError, NotADirectoryError):
                    continue
                for entry in entries:
                    if entry.name.startswith(_TEMPORARY) and _is_older(entry, before):
                        yield Path(entry.path)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise InvalidValue("key", "is not a blob key")
        return self.root / key


def _is_older(entry: os.DirEntry[str], moment: datetime) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return entry.stat(follow_symlinks=False).st_mtime < moment.timestamp()
    return False


def _info(key: str, status: os.stat_result) -> BlobInfo:
    return BlobInfo(key=key, size=status.st_size, stored_at=datetime.fromtimestamp(status.st_mtime, UTC))


def _write_all(descriptor: int, pieces: Iterable[Buffer], key: str, size: int) -> None:
    """
    Write every piece to its last byte; `BlobSizeMismatch` unless they add up to `size`.
    """
    written = 0
    for piece in _taken(pieces):
        rest = memoryview(piece)
        written += len(rest)
        if written > size:
            break
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    if written != size:
        raise BlobSizeMismatch(f"blob {key}: {written} bytes came, {size} were announced")


def _taken(pieces: Iterable[Buffer]) -> Iterator[Buffer]:
    try:
        yield from pieces
    except OSError as error:
        raise _PieceError(error) from None


def _drop_if_empty(folder: Path) -> None:
    """
    Remove a file's folder with its last blob; one that is in use or gone stays as it is.
    """
    try:
        os.rmdir(folder)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
            raise


def _sync_folder(folder: Path) -> None:
    """
    Make a folder's entries durable.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
