"""
Key files of the embedded default, created on first start, readable by their owner only.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs

from sft_adapters.disk import directories
from sft_core.errors import ConfigurationError

_MAX_BYTES: Final = 4096
_RETIRING_NAME: Final = re.compile(r"encryption-([0-9a-f]{16})\.key")


@attrs.frozen
class _KeyFile:
    name: str
    size: int
    loss_warning: str


_FILES: Final = {
    # As long as the longest digest of a token signature.
    "SECRET_KEY": _KeyFile("secret.key", 64, "a new key signs out every user; set SECRET_KEY if that is intended"),
    "ENCRYPTION_KEY": _KeyFile("encryption.key", 32, "a new key cannot decrypt what is stored"),
}


def path_of(folder: Path, name: str) -> Path:
    """
    Return the path of the named key's file.
    """
    return folder / _FILES[name].name


def read(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """
    Return the text of each named key with a file; no other file is opened.

    A file that is accessible to other users, cannot be read, or contains no text of a key raises `ConfigurationError`,
    which names it.
    """
    paths = {name: path_of(folder, name) for name in names}
    return {name: _read(path) for name, path in paths.items() if os.path.lexists(path)}


def create_missing(folder: Path, names: Iterable[str], *, may_create: Callable[[], bool]) -> frozenset[str]:
    """
    Create each named key that has no file in `folder`, and return their names.

    If two processes start at once, one of them creates the key. Only if a file is missing `may_create` is called;
    `ConfigurationError` is raised if it returns False.
    """
    missing = [name for name in names if not os.path.lexists(path_of(folder, name))]
    if missing and not may_create():
        lost = "; ".join(f"{path_of(folder, name)} is missing ({_FILES[name].loss_warning})" for name in missing)
        raise ConfigurationError(f"the storage is in use already, but {lost}: restore the key file")
    created = frozenset(name for name in missing if _create(path_of(folder, name), _FILES[name].size))
    # The creator of the other files may have crashed before their names were durable. A folder that
    # cannot be synced, such as one on a read-only disk, contains nothing new.
    with contextlib.suppress(OSError):
        directories.sync(folder)
    return created


def path_of_retiring(folder: Path, key_id: str) -> Path:
    """
    Return the path of a retiring key's file.
    """
    return folder / f"encryption-{key_id}.key"


def read_retiring(folder: Path) -> dict[str, str]:
    """
    Return the texts of the retiring keys, by the ids in their file names.

    It raises what `read` raises.
    """
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return {}
    found = filter(None, map(_RETIRING_NAME.fullmatch, names))
    texts: dict[str, str] = {}
    for match in found:
        try:
            texts[match[1]] = _read(folder / match[0])
        except ConfigurationError:
            # The key may have been retired since the folder was listed.
            if os.path.lexists(folder / match[0]):
                raise
    return texts


def fingerprint(folder: Path) -> tuple[int, ...]:
    """
    Return a value that changes with the key ring's files; it costs two `stat` calls.

    A new active key is a new file with its own inode number, so it is detected even if several changes happen within
    the resolution of the file system's timestamps.
    """
    found: list[int] = []
    for path in (folder, path_of(folder, "ENCRYPTION_KEY")):
        with contextlib.suppress(OSError):
            status = path.stat()
            found += (status.st_ino, status.st_mtime_ns)
    return tuple(found)


def created_at(path: Path) -> datetime:
    """
    Return the creation time of a key: no key file is written twice.
    """
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def rotate_active(folder: Path, key_id: str) -> None:
    """
    Create a new active key; the current one, with this id, becomes a retiring key.

    A reader finds the old or the new active key, and in both cases the old one among the retiring keys, at any time
    and after a crash at any point.
    """
    active = path_of(folder, "ENCRYPTION_KEY")
    with contextlib.suppress(FileExistsError):
        os.link(active, path_of_retiring(folder, key_id))
    directories.sync(folder)
    with _new_key_file(active, _FILES["ENCRYPTION_KEY"].size) as temporary:
        temporary.rename(active)
    directories.sync(folder)


def generate(path: Path) -> str:
    """
    Create a ring key in a new file, to be stored elsewhere; return its text.

    `ConfigurationError` is raised if the file exists.
    """
    with _new_key_file(path, _FILES["ENCRYPTION_KEY"].size) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise ConfigurationError(f"{path} exists already: choose a new file name") from None
    directories.sync(path.parent)
    return _read(path)


def retire(folder: Path, key_id: str) -> Path:
    """
    Remove a retiring key from the ring by renaming its file; return the new path.

    A missing file is no error. The file is not deleted: it may be the only copy of a key that a backup needs.
    """
    path = path_of_retiring(folder, key_id)
    retired_path = path.with_name(f"{path.name}.retired")
    with contextlib.suppress(FileNotFoundError):
        path.rename(retired_path)
    directories.sync(folder)
    return retired_path


def quarantine(folder: Path, names: Iterable[str]) -> list[Path]:
    """
    Rename the files of keys that turned out to be unused; return their new paths.

    They are not deleted: another process may have read one in the meantime.
    """
    paths = [path_of(folder, name) for name in sorted(names)]
    return [path.rename(path.with_name(f"{path.name}.unused-{secrets.token_hex(4)}")) for path in paths]


def _create(path: Path, size: int) -> bool:
    """
    Create a new key; return False if another process has just created it.
    """
    directories.make(path.parent)
    is_created = False
    with _new_key_file(path, size) as temporary, contextlib.suppress(FileExistsError):
        os.link(temporary, path)
        is_created = True
    # Also for the other process's file: that process may crash before the name is durable.
    directories.sync(path.parent)
    return is_created


@contextlib.contextmanager
def _new_key_file(path: Path, size: int) -> Iterator[Path]:
    """
    Create a key in a temporary file, which the caller renames or links to `path`.

    So no reader finds half a key.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    text = base64.b64encode(secrets.token_bytes(size)).decode() + "\n"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> str:
    try:
        # O_NOFOLLOW and O_NONBLOCK: neither a symbolic link is followed nor a pipe waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ConfigurationError(f"{path} is not a regular file")
            if status.st_mode & 0o077:
                raise ConfigurationError(f"{path} can be read by other users than its owner: run chmod 600 on it")
            text = file.read(_MAX_BYTES).decode("ascii").strip()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} does not contain the text of a key") from None
    except OSError as error:
        kind = "is not a regular file" if error.errno in {errno.ELOOP, errno.ENXIO, errno.EISDIR} else "cannot be read"
        raise ConfigurationError(f"{path} {kind} ({error.strerror})") from None
    if not text:
        raise ConfigurationError(f"{path} is empty: restore the key file")
    return text
