"""
Blobs as files: written under a temporary name, synced, then published under a name never reused.

A blob's file appears whole or not at all, also after a power cut: its bytes are synced before it
gets its name, and the folders on the way to it after. Nothing here follows a symbolic link: a
file's folder is opened first, and what is in it is reached from there.
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
from sft_core.maintenance.store_identity import MARK_BYTES, MARK_NAME, content_of, mark_in
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
# O_NONBLOCK: a pipe planted in a blob's place must not hang us.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@attrs.frozen
class DiskBlobs:
    """
    Implements `sft_core.vault.ports.MarkedStore` in the folder `root`, which must exist.

    A put that would leave fewer than about `reserve` bytes free on its disk is `BlobStoreFull`
    before it begins: that room is for what lies beside the blobs, such as the database, without
    which nobody could delete anything. Puts at the same moment do not know of each other, so each
    may go as far below as a blob is large. With 0 the disk is filled to its end.

    What a process leaves that dies in the middle of a put or a delete is seen by nobody, and let go
    of by `prune`: the store implements `sft_core.ports.Expiring` as well. And it implements
    `sft_core.vault.ports.Room`, by what its disk has left.
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
                # By whomever the folder was made: who made it may have died before its entry was durable.
                with self._opened(self.root, _ROOT) as root:
                    self.system.fsync(root)
            except BaseException:
                self._take_back(ours, folder, home)
                raise
            finally:
                self.system.close(home)

    def admit_bytes(self, size: int) -> None:
        with translated("of a new upload"):
            self._require_room(size)

    def _require_room(self, size: int) -> None:
        disk = os.statvfs(self.root)
        # A file system that counts nothing says 0 of 0.
        if disk.f_blocks and disk.f_bavail * disk.f_frsize - size < self.reserve:
            raise BlobStoreFull(f"{size} bytes more would leave fewer than {self.reserve} free")

    def _begun(self, folder: str) -> tuple[int, str, int]:
        """
        A file's folder and a new temporary file in it, opened, and the file's name.

        The folder is made if need be, also when a delete removes it meanwhile.
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
                # The folder has gone, or an open that was made again met its own trace.
                self.system.close(home)
            except BaseException:
                self._take_back([], folder, home)
                self.system.close(home)
                raise
        raise BlobStoreUnavailable(f"folder {folder} cannot be made")

    def _write_all(self, descriptor: int, pieces: Iterable[Buffer], key: str, size: int) -> None:
        """
        Write every piece to its last byte; `BlobSizeMismatch` unless they add up to `size`.
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
            raise BlobSizeMismatch(f"blob {key}: {written} bytes came, {size} were announced")

    def _publish(self, temporary: str, name: str, home: int, key: str) -> None:
        try:
            # A hard link, not a rename: it never replaces a file that is there.
            self.system.link(temporary, name, src_dir_fd=home, dst_dir_fd=home, follow_symlinks=False)
        except FileExistsError:
            # It may be our own: of a call that was made again, here or by a network's file system.
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
                raise BlobSizeMismatch(f"blob {key} has {length} bytes, {size} are expected")
            done = 0
            while done < len(buffer):
                count = self.system.preadv(descriptor, [buffer[done:]], start + done)
                if count == 0:
                    raise BlobSizeMismatch(f"blob {key} ends at {start + done}, before what was asked for")
                done += count

    @contextmanager
    def _blob(self, key: str) -> Iterator[int]:
        folder, name = _place(key)
        try:
            with self._opened(self.root / folder, _FOLDER) as home, self._opened(name, _READ, home) as descriptor:
                if not stat.S_ISREG(self.system.fstat(descriptor).st_mode):
                    raise BlobMissing(f"blob {key} is not a file")
                yield descriptor
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            self._check_root()
            raise BlobMissing(f"blob {key} is not there") from None

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

    def mark(self) -> str | None:
        content = bytearray(MARK_BYTES)
        with translated(MARK_NAME), self._opened(self.root, _ROOT) as root:
            try:
                with self._opened(MARK_NAME, _READ, root) as descriptor:
                    return mark_in(content[: self._read_most(descriptor, memoryview(content))])
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno not in _NO_FILE:
                    raise
                return ""

    def _read_most(self, descriptor: int, buffer: memoryview) -> int:
        """
        Fill a buffer from a file's beginning, as far as the file goes; how far that is.
        """
        done = 0
        while done < len(buffer):
            count = self.system.preadv(descriptor, [buffer[done:]], done)
            if count == 0:
                break
            done += count
        return done

    def set_mark(self, mark: str) -> str:
        found = self.mark()
        if found is None:
            self._begin_with(content_of(mark))
            found = self.mark()
        return found or ""

    def _begin_with(self, content: bytes) -> None:
        """
        Let this be what is under the mark's name, durably, unless there is something already.
        """
        temporary = f"{_TEMPORARY}{secrets.token_hex(16)}"
        with translated(MARK_NAME), self._opened(self.root, _ROOT) as root:
            try:
                descriptor = self.system.open(temporary, _NEW, 0o600, dir_fd=root)
                try:
                    self._write_all(descriptor, [content], MARK_NAME, len(content))
                    self.system.fsync(descriptor)
                finally:
                    self.system.close(descriptor)
                with suppress(BlobExists):
                    self._publish(temporary, MARK_NAME, root, MARK_NAME)
            finally:
                self._unlink(temporary, root)
            self.system.fsync(root)

    def over(self, *, before: datetime) -> int:
        return sum(1 for _ in self._remains(before))

    def prune(self, *, before: datetime, limit: int) -> int:
        count, failed = 0, list[BlobStoreUnavailable]()
        remains = self._remains(before)
        while count < limit and (found := next(remains, None)) is not None:
            try:
                self._let_go_of(*found)
                count += 1
            except BlobStoreUnavailable as error:
                # It hides none of those behind it, as one that cannot be read does not.
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
        Temporary files of puts that were cut off before then, and empty folders; a put takes no such time.

        A folder is told with its file, or with no name if it is empty.
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
        The names of files' folders, sorted; what else is there is none of ours.
        """
        with translated(""), self._opened(self.root, _ROOT) as root:
            return sorted(filter(_WORD.fullmatch, self.system.listdir(root)))

    def _looked_into(
        self, folders: Iterable[str], is_wanted: Callable[[str], object]
    ) -> Iterator[tuple[str, Sequence[tuple[str, os.stat_result]]]]:
        """
        Files' folders with what is in them; that one cannot be read is said after all the others.

        A disk on which many cannot be read is not tried to its end.
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
        What is in a file's folder; nothing if it is none.
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
        Let the system say so if the store itself is not there: then nothing of it is known to be gone.
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
        Remove a file's folder with its last blob; one that is in use or gone stays as it is.
        """
        try:
            self.system.rmdir(self.root / folder)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
                raise


def has_blobs(root: Path) -> bool:
    """
    Whether a folder holds folders of blobs; what else a disk may have at its top, such as `lost+found`, is none.
    """
    try:
        return any(_WORD.fullmatch(path.name) for path in root.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False


def _place(key: str) -> tuple[str, str]:
    """
    The folder and the name of a blob's file; `InvalidValue` if it is no key.
    """
    words = key.split("/")
    if len(words) != 2 or not all(map(_WORD.fullmatch, words)):
        raise InvalidValue("key", "is not a blob key")
    return words[0], words[1]


def _info(key: str, status: os.stat_result) -> BlobInfo:
    return BlobInfo(key=key, size=status.st_size, stored_at=datetime.fromtimestamp(status.st_mtime, UTC))
