"""
The keys of the embedded default: made on the first start, readable by their owner only.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from sft_core.errors import ConfigurationError

_KEY_BYTES: Final = 32
_FILES: Final = {"SECRET_KEY": "secret.key", "ENCRYPTION_KEY": "encryption.key"}


def read_or_make(folder: Path, names: list[str], *, may_make: bool) -> dict[str, str]:
    """
    The texts of the named keys, each from its file in `folder`; a missing one is made if it may be.

    Of two processes that start at once one makes the key and both read it. `ConfigurationError`
    if a file is missing and may not be made, or others than its owner may read it.
    """
    return {name: _read_or_make(folder / _FILES[name], name, may_make=may_make) for name in names}


def _read_or_make(path: Path, name: str, *, may_make: bool) -> str:
    if not path.exists():
        if not may_make:
            raise ConfigurationError(
                f"{name} is not set and {path} is missing, but there is data that was stored under it: "
                "bring the key back; a new one would open nothing",
            )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    return _read(path)


def _make(path: Path) -> None:
    """
    Write a fresh key beside its place and link it there, so that nobody ever reads half a key.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    text = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode() + "\n"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> str:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is not a regular file")
    if status.st_mode & 0o077:
        raise ConfigurationError(f"{path} can be read by others than its owner: run chmod 600 on it")
    return path.read_text().strip()
