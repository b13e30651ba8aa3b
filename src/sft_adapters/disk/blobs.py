"""
Blobs as files with names that are never reused.

A blob's file appears complete or not at all, even after a power cut: its bytes are written to a
temporary file and synced before a hard link gives it its name, and the folders above it are synced
afterwards. No symbolic link is followed: the folder of a file's blobs is opened first, and its
entries are accessed relative to that descriptor.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs

from sft_adapters.disk.errors import translated, untranslated
from sft_adapters.disk.syscalls import SystemCalls, Uninterrupted
from sft_core.errors import (
    BlobExists,
    BlobMissing,
    BlobSizeMismatch,
    BlobStoreFull,
    BlobStoreUnavailable,
    InvalidValue,
)
from sft_core.maintenance.store_identity import STORE_ID_BYTES, STORE_ID_NAME, decode_store_id, encode_store_id
from sft_core.vault.ports import BlobInfo, Buffer

_WORD: Final = re.compile(r"[0-9a-f-]{1,64}")
_TEMPORARY: Final = ".new-"
_ABSENT: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR}
_NO_FILE: Final = _ABSENT | {errno.ESPIPE}
_ATTEMPTS: Final = 8
_MOST_UNREADABLE: Final = 100

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe with the name of a blob must not block.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@attrs.frozen
class DiskBlobs:
    """
    Implements `sft_core.vault.ports.IdentifiedBlobStore` in the folder `root`, which must exist.

    A put that would leave fewer than about `reserve` bytes free on the disk raises `BlobStoreFull`
    before it starts. The reserve is for other data on the disk, such as the database, which must
    remain writable for deletions. Concurrent puts are not counted, so each of them may exceed the
    reserve by the size of its blob. With 0 the disk may be filled completely.

    The store also implements `sft_core.ports.ExpiringStore`: `delete_expired` removes what a process
    left that ended in a put or a delete, which no other method lists. It implements
    `sft_core.vault.ports.CapacityCheck` by the free space of the disk.
    """

    root: Path
    system: SystemCalls = attrs.field(default=os, converter=Uninterrupted, repr=False)
    reserve: int = attrs.field(default=0, kw_only=True)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        folder, name = _place(key)
        with translated(key):
            if self.reserve:
                self._require_room(size)
            home, temporary, descriptor = self._begun(folder)
            ours = [temporary]
            try:
                try:
                    self._write_all(descriptor, pieces, key, size)
                    self.system.fsync(descriptor)
                finally:
                    self.system.close(descriptor)
                self._publish(temporary, name, home, key)
                ours.append(name)
                self._unlink(temporary, home)
                self.system.fsync(home)
                # Even if this call did not create the folder: its creator may have crashed before syncing the entry.
                with self._opened(self.root, _ROOT) as root:
                    self.system.fsync(root)
            except BaseException:
                self._take_back(ours, folder, home)
                raise
            finally:
                self.system.close(home)

    def require_bytes(self, size: int) -> None:
        with translated("of a new upload"):
            self._require_room(size)

    def _require_room(self, size: int) -> None:
        disk = os.statvfs(self.root)
        # A file system without counts reports 0 blocks of 0.
        if disk.f_blocks and disk.f_bavail * disk.f_frsize - size < self.reserve:
            raise BlobStoreFull(f"{size} more bytes would leave fewer than {self.reserve} bytes free")

    def _begun(self, folder: str) -> tuple[int, str, int]:
        """
        Open the folder of a file's blobs and create a temporary file in it.

        Returns the folder's descriptor, the temporary name and the descriptor of the temporary file.
        The folder is created if it is missing, also if a concurrent delete removes it meanwhile.
        """
        for _ in range(_ATTEMPTS):
            temporary = f"{_TEMPORARY}{secrets.token_hex(16)}"
            try:
                home = self.system.open(self.root / folder, _FOLDER)
            except FileNotFoundError:
                with suppress(FileExistsError):
                    self.system.mkdir(self.root / folder, 0o700)
                continue
            try:
                return home, temporary, self.system.open(temporary, _NEW, 0o600, dir_fd=home)
            except (FileNotFoundError, FileExistsError):
                # A delete removed the folder, or a retried open found the file of its own first attempt.
                self.system.close(home)
            except BaseException:
                self._take_back([], folder, home)
                self.system.close(home)
                raise
        raise BlobStoreUnavailable(f"folder {folder} cannot be created")

    def _write_all(self, descriptor: int, pieces: Iterable[Buffer], key: str, size: int) -> None:
        """
        Write every piece completely.

        Raises:
            BlobSizeMismatch: The pieces do not add up to `size` bytes.
        """
        written = 0
        for piece in untranslated(pieces):
            rest = memoryview(piece)
            written += len(rest)
            if written > size:
                break
            while rest:
                rest = rest[self.system.write(descriptor, rest) :]
        if written != size:
            raise BlobSizeMismatch(f"blob {key}: received {written} bytes, expected {size}")

    def _publish(self, temporary: str, name: str, home: int, key: str) -> None:
        try:
            # A hard link, not a rename: a link never replaces an existing file.
            self.system.link(temporary, name, src_dir_fd=home, dst_dir_fd=home, follow_symlinks=False)
        except FileExistsError:
            # The file may be this call's own, if the call was retried here or by a network file system.
            if not os.path.samestat(self._status(temporary, home), self._status(name, home)):
                raise BlobExists(key) from None

    def _take_back(self, names: Iterable[str], folder: str, home: int) -> None:
        for name in names:
            with suppress(OSError):
                self._unlink(name, home)
        with suppress(OSError):
            self._drop_if_empty(folder)

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        with translated(key), self._blob(key) as descriptor:
            length = self.system.fstat(descriptor).st_size
            if length != size:
                raise BlobSizeMismatch(f"blob {key} has {length} bytes, expected {size}")
            done = 0
            while done < len(buffer):
                count = self.system.preadv(descriptor, [buffer[done:]], start + done)
                if count == 0:
                    raise BlobSizeMismatch(f"blob {key} ends at {start + done}, before the end of the requested range")
                done += count

    @contextmanager
    def _blob(self, key: str) -> Iterator[int]:
        folder, name = _place(key)
        try:
            with self._opened(self.root / folder, _FOLDER) as home, self._opened(name, _READ, home) as descriptor:
                if not stat.S_ISREG(self.system.fstat(descriptor).st_mode):
                    raise BlobMissing(f"blob {key} is not a regular file")
                yield descriptor
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            self._check_root()
            raise BlobMissing(f"blob {key} does not exist") from None

    def delete(self, key: str) -> None:
        folder, name = _place(key)
        with translated(key):
            try:
                with self._opened(self.root / folder, _FOLDER) as home:
                    self._unlink(name, home)
            except FileNotFoundError:
                self._check_root()
            self._drop_if_empty(folder)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        folder, slash, rest = prefix.partition("/")
        wanted = (name for name in ([folder] if slash else self._folders()) if name.startswith(folder))
        for name, entries in self._looked_into(filter(_WORD.fullmatch, wanted), _WORD.fullmatch):
            for entry, status in entries:
                if entry.startswith(rest) and stat.S_ISREG(status.st_mode):
                    yield _info(f"{name}/{entry}", status)

    def store_id(self) -> str | None:
        content = bytearray(STORE_ID_BYTES)
        with translated(STORE_ID_NAME), self._opened(self.root, _ROOT) as root:
            try:
                with self._opened(STORE_ID_NAME, _READ, root) as descriptor:
                    return decode_store_id(content[: self._read_most(descriptor, memoryview(content))])
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno not in _NO_FILE:
                    raise
                return ""

    def _read_most(self, descriptor: int, buffer: memoryview) -> int:
        """
        Fill a buffer from the beginning of a file; return the number of bytes.
        """
        done = 0
        while done < len(buffer):
            count = self.system.preadv(descriptor, [buffer[done:]], done)
            if count == 0:
                break
            done += count
        return done

    def set_store_id(self, store_id: str) -> str:
        found = self.store_id()
        if found is None:
            self._begin_with(encode_store_id(store_id))
            found = self.store_id()
        return found or ""

    def _begin_with(self, content: bytes) -> None:
        """
        Write the store id durably, unless the file of that name exists.
        """
        temporary = f"{_TEMPORARY}{secrets.token_hex(16)}"
        with translated(STORE_ID_NAME), self._opened(self.root, _ROOT) as root:
            try:
                descriptor = self.system.open(temporary, _NEW, 0o600, dir_fd=root)
                try:
                    self._write_all(descriptor, [content], STORE_ID_NAME, len(content))
                    self.system.fsync(descriptor)
                finally:
                    self.system.close(descriptor)
                with suppress(BlobExists):
                    self._publish(temporary, STORE_ID_NAME, root, STORE_ID_NAME)
            finally:
                self._unlink(temporary, root)
            self.system.fsync(root)

    def count_expired(self, *, before: datetime) -> int:
        return sum(1 for _ in self._remains(before))

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        count, failed = 0, list[BlobStoreUnavailable]()
        remains = self._remains(before)
        while count < limit and (found := next(remains, None)) is not None:
            try:
                self._let_go_of(*found)
                count += 1
            except BlobStoreUnavailable as error:
                # Continue: one failure must not prevent the deletion of the remnants after it.
                failed.append(error)
                if len(failed) == _MOST_UNREADABLE:
                    break
        if failed and count < limit:
            raise failed[0]
        return count

    def _let_go_of(self, folder: str, temporary: str) -> None:
        with translated(folder):
            if temporary:
                with self._opened(self.root / folder, _FOLDER) as home:
                    self._unlink(temporary, home)
            self._drop_if_empty(folder)

    def _remains(self, before: datetime) -> Iterator[tuple[str, str]]:
        """
        Yield the remnants older than `before`, a time longer ago than any put can take.

        A remnant is the temporary file of an interrupted put or an empty folder. It is yielded as the
        folder and the file's name, which is "" for an empty folder.
        """
        moment = before.timestamp()
        for folder, entries in self._looked_into(self._folders(), lambda _entry: True):
            for entry, status in entries:
                if entry.startswith(_TEMPORARY) and status.st_mtime < moment:
                    yield folder, entry
            if not entries and self._is_older(folder, moment):
                yield folder, ""

    def _is_older(self, folder: str, moment: float) -> bool:
        missing = suppress(FileNotFoundError, NotADirectoryError)
        with translated(folder), missing, self._opened(self.root / folder, _FOLDER) as home:
            return self.system.fstat(home).st_mtime < moment
        return False

    def _folders(self) -> Sequence[str]:
        """
        Return the sorted names of the folders of blobs; other entries are ignored.
        """
        with translated(""), self._opened(self.root, _ROOT) as root:
            return sorted(filter(_WORD.fullmatch, self.system.listdir(root)))

    def _looked_into(
        self, folders: Iterable[str], is_wanted: Callable[[str], object]
    ) -> Iterator[tuple[str, Sequence[tuple[str, os.stat_result]]]]:
        """
        Yield each folder with its wanted entries; raise an unreadable folder's error after all others.

        It stops after 100 unreadable folders.
        """
        failed: list[BlobStoreUnavailable] = []
        for folder in folders:
            try:
                entries = self._entries(folder, is_wanted)
            except BlobStoreUnavailable as error:
                failed.append(error)
                if len(failed) == _MOST_UNREADABLE:
                    break
            else:
                yield folder, entries
        if failed:
            raise failed[0]

    def _entries(self, folder: str, is_wanted: Callable[[str], object]) -> Sequence[tuple[str, os.stat_result]]:
        """
        Return the wanted entries of a folder with their status.

        There are none if it is missing or not a folder.
        """
        found = []
        with translated(folder):
            try:
                with self._opened(self.root / folder, _FOLDER) as home:
                    for name in filter(is_wanted, self.system.listdir(home)):
                        with suppress(FileNotFoundError):
                            found.append((name, self._status(name, home)))
            except (FileNotFoundError, NotADirectoryError):
                self._check_root()
        return found

    @contextmanager
    def _opened(self, path: Path | str, flags: int, home: int | None = None) -> Iterator[int]:
        descriptor = self.system.open(path, flags, dir_fd=home)
        try:
            yield descriptor
        finally:
            self.system.close(descriptor)

    def _check_root(self) -> None:
        """
        Raise `FileNotFoundError` if the root is missing.

        In that case no blob in it is known to be deleted.
        """
        with self._opened(self.root, _ROOT):
            pass

    def _status(self, name: str, home: int) -> os.stat_result:
        return self.system.stat(name, dir_fd=home, follow_symlinks=False)

    def _unlink(self, name: str, home: int) -> None:
        with suppress(FileNotFoundError):
            self.system.unlink(name, dir_fd=home)

    def _drop_if_empty(self, folder: str) -> None:
        """
        Remove the folder of a file's blobs if it is empty.

        One that is in use or missing is no error.
        """
        try:
            self.system.rmdir(self.root / folder)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
                raise


def has_blobs(root: Path) -> bool:
    """
    Return whether a folder contains folders of blobs; other entries, such as `lost+found`, are ignored.
    """
    try:
        return any(_WORD.fullmatch(path.name) for path in root.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False


def _place(key: str) -> tuple[str, str]:
    """
    Split a blob key into the names of its folder and its file.

    Raises:
        InvalidValue: It is not a blob key.
    """
    words = key.split("/")
    if len(words) != 2 or not all(map(_WORD.fullmatch, words)):
        raise InvalidValue("key", "is not a blob key")
    return words[0], words[1]


def _info(key: str, status: os.stat_result) -> BlobInfo:
    return BlobInfo(key=key, size=status.st_size, stored_at=datetime.fromtimestamp(status.st_mtime, UTC))
