"""
The keys of the embedded default: made on the first start, readable by their owner only.
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

_MOST_BYTES: Final = 4096
_EARLIER: Final = re.compile(r"encryption-([0-9a-f]{16})\.key")


@attrs.frozen
class _KeyFile:
    """
    Where a key is kept, how many random bytes it has, and what it means to lose it.
    """

    name: str
    size: int
    loss: str


_FILES: Final = {
    # As long as the longest digest that signs tokens.
    "SECRET_KEY": _KeyFile("secret.key", 64, "another one signs everybody out; set SECRET_KEY if that is wanted"),
    "ENCRYPTION_KEY": _KeyFile("encryption.key", 32, "a new key opens nothing of what is stored"),
}


def path_of(folder: Path, name: str) -> Path:
    """
    Where the named key is kept.
    """
    return folder / _FILES[name].name


def read(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """
    The texts of those of the named keys that have a file; no other file is looked at.

    `ConfigurationError` names a file that others may read, that cannot be read, or that holds no text.
    """
    paths = {name: path_of(folder, name) for name in names}
    return {name: _read(path) for name, path in paths.items() if os.path.lexists(path)}


def make_missing(folder: Path, names: Iterable[str], *, may_make: Callable[[], bool]) -> frozenset[str]:
    """
    Make those of the named keys that have no file in `folder`, if they may be; the names of the made ones.

    Of two processes that start at once one makes the key. `may_make` is asked only if a file is
    missing; `ConfigurationError` if it says no.
    """
    missing = [name for name in names if not os.path.lexists(path_of(folder, name))]
    if missing and not may_make():
        lost = "; ".join(f"{path_of(folder, name)} is missing ({_FILES[name].loss})" for name in missing)
        raise ConfigurationError(f"the storage is in use already, but {lost}: bring the key back")
    made = frozenset(name for name in missing if _make(path_of(folder, name), _FILES[name].size))
    # Who made the others may have ended before their names were durable. A folder that cannot be
    # synced, as on a disk that is only read, has nothing new in it.
    with contextlib.suppress(OSError):
        directories.sync(folder)
    return made


def path_of_earlier(folder: Path, key_id: str) -> Path:
    """
    Where an earlier key of the ring is kept.
    """
    return folder / f"encryption-{key_id}.key"


def earlier(folder: Path) -> dict[str, str]:
    """
    The texts of the earlier keys of the ring, by the ids in their names; errors as in `read`.
    """
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return {}
    found = [match for match in map(_EARLIER.fullmatch, names) if match]
    texts = {match[1]: _read_unless_gone(folder / match[0]) for match in found}
    return {key_id: text for key_id, text in texts.items() if text is not None}


def version(folder: Path) -> tuple[int, ...]:
    """
    Something that is another one after every change of the ring's files: it costs two looks, and reads nothing.

    A new active key has a file of its own beside the one before, so it is told apart even if
    several changes fall into one tick of the file system's clock.
    """
    found: list[int] = []
    for path in (folder, path_of(folder, "ENCRYPTION_KEY")):
        try:
            status = path.stat()
        except OSError:
            found += (0, 0)
        else:
            found += (status.st_ino, status.st_mtime_ns)
    return tuple(found)


def made_at(path: Path) -> datetime:
    """
    When a key was made: nobody writes its file a second time.
    """
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def succeed(folder: Path, key_id: str) -> None:
    """
    Make a new active key of the ring; the present one, of this id, is an earlier key from then on.

    Whoever reads the ring meanwhile, or after a crash at any point, finds the old active key or
    the new one, and the old one beside it in either case.
    """
    active = path_of(folder, "ENCRYPTION_KEY")
    with contextlib.suppress(FileExistsError):
        os.link(active, path_of_earlier(folder, key_id))
    directories.sync(folder)
    with _written(active, _FILES["ENCRYPTION_KEY"].size) as temporary:
        temporary.rename(active)
    directories.sync(folder)


def write(path: Path) -> str:
    """
    Make a new key for the ring in a file of its own, for who keeps keys elsewhere; its text.

    `ConfigurationError` if there is a file of that name already.
    """
    with _written(path, _FILES["ENCRYPTION_KEY"].size) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise ConfigurationError(f"{path} is there already: name a file that is not") from None
    directories.sync(path.parent)
    return _read(path)


def set_aside_earlier(folder: Path, key_id: str) -> Path:
    """
    Take an earlier key out of the ring; where it is from then on. One that is not there is no error.

    It is not removed: a backup may need it, and then this is the only copy.
    """
    path = path_of_earlier(folder, key_id)
    aside = path.with_name(f"{path.name}.retired")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
    directories.sync(folder)
    return aside


def set_aside(folder: Path, names: Iterable[str]) -> list[Path]:
    """
    Rename the files of keys that turned out to be of no use; where they are now.

    None is removed: another process may have read it in the meantime.
    """
    paths = [path_of(folder, name) for name in sorted(names)]
    return [path.rename(path.with_name(f"{path.name}.unused-{secrets.token_hex(4)}")) for path in paths]


def _make(path: Path, size: int) -> bool:
    """
    Make a fresh key; False if somebody else has just made it.
    """
    directories.make(path.parent)
    with _written(path, size) as temporary:
        try:
            os.link(temporary, path)
            is_ours = True
        except FileExistsError:
            is_ours = False
    # Also where it is somebody else's, who may die before its name is durable.
    directories.sync(path.parent)
    return is_ours


@contextlib.contextmanager
def _written(path: Path, size: int) -> Iterator[Path]:
    """
    A fresh key beside its place, to be put there at once: nobody ever reads half a key.
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


def _read_unless_gone(path: Path) -> str | None:
    try:
        return _read(path)
    except ConfigurationError:
        # It may have been retired since its folder was listed.
        if os.path.lexists(path):
            raise
        return None


def _read(path: Path) -> str:
    try:
        # What is no file must neither be followed nor waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ConfigurationError(f"{path} is not a regular file")
            if status.st_mode & 0o077:
                raise ConfigurationError(f"{path} can be read by others than its owner: run chmod 600 on it")
            text = file.read(_MOST_BYTES).decode("ascii").strip()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} does not hold the text of a key") from None
    except OSError as error:
        kind = "is not a regular file" if error.errno in {errno.ELOOP, errno.ENXIO, errno.EISDIR} else "cannot be read"
        raise ConfigurationError(f"{path} {kind} ({error.strerror})") from None
    if not text:
        raise ConfigurationError(f"{path} is empty: bring the key back")
    return text
