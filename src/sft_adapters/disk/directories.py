"""
Create and sync folders durably.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def make(folder: Path) -> None:
    """
    Create a folder, readable by its owner only, and its missing parents, unless it exists.

    Every created folder is durable on return: its parent is synced, since otherwise a power cut could remove the
    folder with everything synced in it. `FileExistsError` is raised if the path is not a folder.
    """
    missing_parents = [path for path in folder.parents if not path.exists()]
    for path in [*reversed(missing_parents), folder]:
        is_new = not path.exists()
        path.mkdir(mode=0o700 if path == folder else 0o777, exist_ok=True)
        # A process may be allowed to create entries in a folder that it must not open.
        with suppress(PermissionError):
            if is_new:
                sync(path.parent)


def sync(folder: Path) -> None:
    """
    Make earlier changes of a folder's entries survive a power cut.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
