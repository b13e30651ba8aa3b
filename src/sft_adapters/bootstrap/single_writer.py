"""
One process that writes, where the database allows only one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sft_adapters.disk.locks import file_lock
from sft_adapters.settings import Settings
from sft_adapters.sql.engine import sqlite_file, sqlite_is_safe_for_many_writers


@contextmanager
def single_writer_lock(
    settings: Settings, *, wait_seconds: float, on_wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """
    Be the one process that writes, where only one may: SQLite before 3.51.3 (see `sql.sqlite`).

    `on_wait` is called at once if another process holds the lock; `ConfigurationError` is raised if it still does
    after `wait_seconds`.
    """
    file = sqlite_file(settings.database_url)
    if file is None or sqlite_is_safe_for_many_writers():
        yield
        return
    reason = "another process has the database open, and this version of SQLite is safe for one only"
    lock = file.with_name(f"{file.name}.lock")
    with file_lock(lock, reason=reason, wait_seconds=wait_seconds, on_wait=on_wait):
        yield


def allowed_workers(settings: Settings, requested: int) -> int:
    """
    How many processes may share the storage.

    One, if sessions are in its memory, or if the database is SQLite in a version with a known flaw.
    """
    is_unsafe = sqlite_file(settings.database_url) and not sqlite_is_safe_for_many_writers()
    return 1 if settings.session_store == "memory" or is_unsafe else requested
