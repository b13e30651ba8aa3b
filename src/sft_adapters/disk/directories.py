"""
Folders that outlast a power cut.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def make(folder: Path) -> None:
    """
    Make a folder, readable by its owner only, and those on the way to it; one that is there is no error.

    When it returns each is durable: what is synced in a folder whose own name is not can be lost with it.
    `FileExistsError` if it is something else than a folder.
    """
    on_the_way = [path for path in folder.parents if not path.exists()]
    for path in [*reversed(on_the_way), folder]:
        is_new = not path.exists()
        path.mkdir(mode=0o700 if path == folder else 0o777, exist_ok=True)
        # Who may make a name in a folder need not be allowed to open it.
        with suppress(PermissionError):
            if is_new:
                sync(path.parent)


def sync(folder: Path) -> None:
    """
    Let what was done in a folder outlast a power cut.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
