"""
Blobs as files with names that are never reused.

A blob's file appears complete or not at all, even after a power cut: its bytes are written to a temporary file and
synced before a hard link gives it its name, and the folders above it are synced afterwards. No symbolic link is
followed: the folder of a file's blobs is opened first, and its entries are accessed relative to that descriptor.
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

from sft_adapters.disk.errors import map_os_errors, protect_source_errors
from sft_adapters.disk.syscalls import RetryOnEintr, Syscalls
from sft_core.errors import BlobExists, BlobMissing, BlobSizeMismatch, BlobStoreFull, BlobStoreUnavailable, InvalidValue
from sft_core.maintenance.store_identity import STORE_ID_BYTES, STORE_ID_NAME, decode_store_id, encode_store_id
from sft_core.vault.ports import BlobInfo, Buffer

_KEY_SEGMENT: Final = re.compile(r"[0-9a-f-]{1,64}")
_TEMPORARY_PREFIX: Final = ".new-"
_MISSING_ERRNOS: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR}
_NOT_A_FILE_ERRNOS: Final = _MISSING_ERRNOS | {errno.ESPIPE}
_MAX_ATTEMPTS: Final = 8
_MAX_UNREADABLE: Final = 100

_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ROOT_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe with the name of a blob must not block.
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@attrs.frozen
class DiskBlobs:
    """
    Implements `sft_core.vault.ports.IdentifiedBlobStore` in the folder `root`, which must exist.

    A put that would leave fewer than about `reserve` bytes free on the disk raises `BlobStoreFull` before it starts.
    The reserve is for other data on the disk, such as the database, which must remain writable for deletions.
    Concurrent puts are not counted, so each of them may exceed the reserve by the size of its blob. With 0 the disk
    may be filled completely.

    The store also implements `sft_core.ports.ExpiringStore`: `delete_expired` removes what a process left that ended
    in a put or a delete, which no other method lists. It implements `sft_core.vault.ports.CapacityCheck` by the free
    space of the disk.
    """

    root: Path
    syscalls: Syscalls = attrs.field(default=os, converter=RetryOnEintr, repr=False)
    reserve: int = attrs.field(default=0, kw_only=True)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        folder, name = _split_key(key)
        with map_os_errors(key):
            if self.reserve:
                self._require_free_space(size)
            directory_fd, temporary, descriptor = self._open_temporary(folder)
            created = [temporary]
            try:
                self._write_and_close(descriptor, pieces, key, size)
                self._publish(temporary, name, directory_fd, key)
                created.append(name)
                self._unlink(temporary, directory_fd)
                self.syscalls.fsync(directory_fd)
                # Even if this call did not create the folder: its creator may have crashed before syncing the entry.
                with self._descriptor(self.root, _ROOT_FLAGS) as root:
                    self.syscalls.fsync(root)
            except BaseException:
                for entry in created:
                    with suppress(OSError):
                        self._unlink(entry, directory_fd)
                with suppress(OSError):
                    self._remove_if_empty(folder)
                raise
            finally:
                self.syscalls.close(directory_fd)

    def require_bytes(self, size: int) -> None:
        with map_os_errors("of a new upload"):
            self._require_free_space(size)

    def _require_free_space(self, size: int) -> None:
        disk = os.statvfs(self.root)
        # A file system without counts reports 0 blocks of 0.
        if disk.f_blocks and disk.f_bavail * disk.f_frsize - size < self.reserve:
            raise BlobStoreFull(f"{size} more bytes would leave fewer than {self.reserve} bytes free")

    def _open_temporary(self, folder: str) -> tuple[int, str, int]:
        """
        Create a temporary file; return the descriptor of its folder, its name and its descriptor.

        The folder is created if it is missing, also if a concurrent delete removes it meanwhile.
        """
        for _ in range(_MAX_ATTEMPTS):
            temporary = _temporary_name()
            try:
                directory_fd = self.syscalls.open(self.root / folder, _DIRECTORY_FLAGS)
            except FileNotFoundError:
                with suppress(FileExistsError):
                    self.syscalls.mkdir(self.root / folder, 0o700)
                continue
            try:
                return directory_fd, temporary, self.syscalls.open(temporary, _CREATE_FLAGS, 0o600, dir_fd=directory_fd)
            except (FileNotFoundError, FileExistsError):
                # A delete removed the folder, or a retried open found the file of its own first attempt.
                self.syscalls.close(directory_fd)
            except BaseException:
                with suppress(OSError):
                    self._remove_if_empty(folder)
                self.syscalls.close(directory_fd)
                raise
        raise BlobStoreUnavailable(f"folder {folder} cannot be created")

    def _write_and_close(self, descriptor: int, pieces: Iterable[Buffer], key: str, size: int) -> None:
        written = 0
        try:
            for piece in protect_source_errors(pieces):
                rest = memoryview(piece)
                written += len(rest)
                if written > size:
                    break
                while rest:
                    rest = rest[self.syscalls.write(descriptor, rest) :]
            if written != size:
                raise BlobSizeMismatch(f"blob {key}: received {written} bytes, expected {size}")
            self.syscalls.fsync(descriptor)
        finally:
            self.syscalls.close(descriptor)

    def _publish(self, temporary: str, name: str, directory_fd: int, key: str) -> None:
        try:
            # A hard link, not a rename: a link never replaces an existing file.
            self.syscalls.link(temporary, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd, follow_symlinks=False)
        except FileExistsError:
            # The file may be this call's own, if the call was retried here or by a network file system.
            if not os.path.samestat(self._status(temporary, directory_fd), self._status(name, directory_fd)):
                raise BlobExists(key) from None

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        with map_os_errors(key), self._open_blob(key) as descriptor:
            length = self.syscalls.fstat(descriptor).st_size
            if length != size:
                raise BlobSizeMismatch(f"blob {key} has {length} bytes, expected {size}")
            stop = start + self._read(descriptor, start, buffer)
            if stop < start + len(buffer):
                raise BlobSizeMismatch(f"blob {key} ends at {stop}, before the end of the requested range")

    def _read(self, descriptor: int, start: int, buffer: memoryview) -> int:
        """
        Fill a buffer from `start` up to the file's end; return the number of bytes.
        """
        done = 0
        while done < len(buffer) and (count := self.syscalls.preadv(descriptor, [buffer[done:]], start + done)):
            done += count
        return done

    @contextmanager
    def _open_blob(self, key: str) -> Iterator[int]:
        folder, name = _split_key(key)
        try:
            with (
                self._descriptor(self.root / folder, _DIRECTORY_FLAGS) as directory_fd,
                self._descriptor(name, _READ_FLAGS, directory_fd) as descriptor,
            ):
                if not stat.S_ISREG(self.syscalls.fstat(descriptor).st_mode):
                    raise BlobMissing(f"blob {key} is not a regular file")
                yield descriptor
        except OSError as error:
            if error.errno not in _MISSING_ERRNOS:
                raise
            self._check_root()
            raise BlobMissing(f"blob {key} does not exist") from None

    def delete(self, key: str) -> None:
        folder, name = _split_key(key)
        with map_os_errors(key):
            try:
                with self._descriptor(self.root / folder, _DIRECTORY_FLAGS) as directory_fd:
                    self._unlink(name, directory_fd)
            except FileNotFoundError:
                self._check_root()
            self._remove_if_empty(folder)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        folder, slash, rest = prefix.partition("/")
        wanted = (name for name in ([folder] if slash else self._folders()) if name.startswith(folder))
        for name, entries in self._scan(filter(_KEY_SEGMENT.fullmatch, wanted), _KEY_SEGMENT.fullmatch):
            for entry, status in entries:
                if entry.startswith(rest) and stat.S_ISREG(status.st_mode):
                    stored_at = datetime.fromtimestamp(status.st_mtime, UTC)
                    yield BlobInfo(key=f"{name}/{entry}", size=status.st_size, stored_at=stored_at)

    def store_id(self) -> str | None:
        content = bytearray(STORE_ID_BYTES)
        with map_os_errors(STORE_ID_NAME), self._descriptor(self.root, _ROOT_FLAGS) as root:
            try:
                with self._descriptor(STORE_ID_NAME, _READ_FLAGS, root) as descriptor:
                    return decode_store_id(content[: self._read(descriptor, 0, memoryview(content))])
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno not in _NOT_A_FILE_ERRNOS:
                    raise
                return ""

    def set_store_id(self, store_id: str) -> str:
        found = self.store_id()
        if found is None:
            self._publish_if_absent(encode_store_id(store_id))
            found = self.store_id()
        return found or ""

    def _publish_if_absent(self, content: bytes) -> None:
        temporary = _temporary_name()
        with map_os_errors(STORE_ID_NAME), self._descriptor(self.root, _ROOT_FLAGS) as root:
            try:
                descriptor = self.syscalls.open(temporary, _CREATE_FLAGS, 0o600, dir_fd=root)
                self._write_and_close(descriptor, [content], STORE_ID_NAME, len(content))
                with suppress(BlobExists):
                    self._publish(temporary, STORE_ID_NAME, root, STORE_ID_NAME)
            finally:
                self._unlink(temporary, root)
            self.syscalls.fsync(root)

    def count_expired(self, *, before: datetime) -> int:
        return sum(1 for _ in self._remnants(before))

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        count, failed = 0, list[BlobStoreUnavailable]()
        remnants = self._remnants(before)
        while count < limit and (found := next(remnants, None)) is not None:
            try:
                self._delete_remnant(*found)
                count += 1
            except BlobStoreUnavailable as error:
                # Continue: one failure must not prevent the deletion of the remnants after it.
                failed.append(error)
                if len(failed) == _MAX_UNREADABLE:
                    break
        if failed and count < limit:
            raise failed[0]
        return count

    def _delete_remnant(self, folder: str, temporary: str) -> None:
        with map_os_errors(folder):
            if temporary:
                with self._descriptor(self.root / folder, _DIRECTORY_FLAGS) as directory_fd:
                    self._unlink(temporary, directory_fd)
            self._remove_if_empty(folder)

    def _remnants(self, before: datetime) -> Iterator[tuple[str, str]]:
        """
        Yield the folder and the file name of each remnant older than `before`.

        `before` is longer ago than any put can take. A remnant is the temporary file of an interrupted put, or an empty
        folder, whose file name is "".
        """
        cutoff = before.timestamp()
        for folder, entries in self._scan(self._folders(), lambda _entry: True):
            for entry, status in entries:
                if entry.startswith(_TEMPORARY_PREFIX) and status.st_mtime < cutoff:
                    yield folder, entry
            if not entries and self._is_older_than(folder, cutoff):
                yield folder, ""

    def _is_older_than(self, folder: str, cutoff: float) -> bool:
        missing = suppress(FileNotFoundError, NotADirectoryError)
        with map_os_errors(folder), missing, self._descriptor(self.root / folder, _DIRECTORY_FLAGS) as directory_fd:
            return self.syscalls.fstat(directory_fd).st_mtime < cutoff
        return False

    def _folders(self) -> Sequence[str]:
        with map_os_errors(""), self._descriptor(self.root, _ROOT_FLAGS) as root:
            return sorted(filter(_KEY_SEGMENT.fullmatch, self.syscalls.listdir(root)))

    def _scan(
        self, folders: Iterable[str], is_wanted: Callable[[str], object]
    ) -> Iterator[tuple[str, Sequence[tuple[str, os.stat_result]]]]:
        """
        Yield each folder with its wanted entries.

        The first error of an unreadable folder is raised after all folders, or after 100 such errors.
        """
        failed: list[BlobStoreUnavailable] = []
        for folder in folders:
            try:
                entries = self._entries(folder, is_wanted)
            except BlobStoreUnavailable as error:
                failed.append(error)
                if len(failed) == _MAX_UNREADABLE:
                    break
            else:
                yield folder, entries
        if failed:
            raise failed[0]

    def _entries(self, folder: str, is_wanted: Callable[[str], object]) -> Sequence[tuple[str, os.stat_result]]:
        """
        Return the folder's wanted entries and their status; none if there is no such folder.
        """
        found = []
        with map_os_errors(folder):
            try:
                with self._descriptor(self.root / folder, _DIRECTORY_FLAGS) as directory_fd:
                    for name in filter(is_wanted, self.syscalls.listdir(directory_fd)):
                        with suppress(FileNotFoundError):
                            found.append((name, self._status(name, directory_fd)))
            except (FileNotFoundError, NotADirectoryError):
                self._check_root()
        return found

    @contextmanager
    def _descriptor(self, path: Path | str, flags: int, directory_fd: int | None = None) -> Iterator[int]:
        descriptor = self.syscalls.open(path, flags, dir_fd=directory_fd)
        try:
            yield descriptor
        finally:
            self.syscalls.close(descriptor)

    def _check_root(self) -> None:
        """
        Raise `FileNotFoundError` if the root is missing: then no blob in it counts as deleted.
        """
        with self._descriptor(self.root, _ROOT_FLAGS):
            pass

    def _status(self, name: str, directory_fd: int) -> os.stat_result:
        return self.syscalls.stat(name, dir_fd=directory_fd, follow_symlinks=False)

    def _unlink(self, name: str, directory_fd: int) -> None:
        with suppress(FileNotFoundError):
            self.syscalls.unlink(name, dir_fd=directory_fd)

    def _remove_if_empty(self, folder: str) -> None:
        try:
            self.syscalls.rmdir(self.root / folder)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
                raise


def has_blobs(root: Path) -> bool:
    """
    Return whether a folder contains folders of blobs; other entries, such as `lost+found`, are ignored.
    """
    try:
        return any(_KEY_SEGMENT.fullmatch(path.name) for path in root.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False


def _split_key(key: str) -> tuple[str, str]:
    segments = key.split("/")
    if len(segments) != 2 or not all(map(_KEY_SEGMENT.fullmatch, segments)):
        raise InvalidValue("key", "is not a blob key")
    return segments[0], segments[1]


def _temporary_name() -> str:
    return f"{_TEMPORARY_PREFIX}{secrets.token_hex(16)}"
