"""
An exclusive file lock between processes, which the kernel releases when its holders end.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sft_core.errors import ConfigurationError

_POLL_SECONDS: Final = 0.05


class Locked(ConfigurationError):
    """
    Another process held the lock for the whole waiting time.
    """


@contextmanager
def file_lock(
    path: Path, *, reason: str, wait_seconds: float = 0.0, on_wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """
    Hold the lock at `path` during the block; processes forked there hold it too.

    `on_wait` is called at most once, with a sentence that says what the caller waits for. `Locked`, with the usual
    `reason`, is raised if another process held the lock for all of `wait_seconds`. The file is never deleted:
    otherwise two processes could each lock another file of this name.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, f"{path} is locked: {reason}", wait_seconds, on_wait)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, message: str, wait_seconds: float, on_wait: Callable[[str], None] | None) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Locked(message) from None
            if on_wait is not None:
                on_wait(f"waiting for up to {wait_seconds:g} seconds, because {message}")
                on_wait = None
            time.sleep(_POLL_SECONDS)
        else:
            return
