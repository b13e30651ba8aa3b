"""
A clock stored in a file, and the `sft` command using it.

`python -m harness.clocks serve ...` is `sft serve ...` with the clock in the file that `SFT_TEST_CLOCK`
names, so a test can set the time of every worker at once. The product has no such setting; the container's
clock is overridden.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Final

import attrs
from dependency_injector import providers

from sft_adapters.bootstrap.container import Container
from sft_http.cli.main import sft

CLOCK: Final = "SFT_TEST_CLOCK"
_MOVING: Final = Lock()
BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)


@attrs.frozen
class FileClock:
    """
    Implements `sft_core.ports.Clock`: it changes only when a process sets or advances it.
    """

    path: Path

    def now(self) -> datetime:
        return datetime.fromisoformat(self.path.read_text())

    def set(self, moment: datetime) -> None:
        """
        Set the time for every process atomically.
        """
        new = self.path.with_suffix(".new")
        new.write_text(moment.isoformat())
        new.replace(self.path)

    def advance(self, *, seconds: float) -> None:
        """
        Advance the time by seconds; concurrent calls in one process all count.
        """
        with _MOVING:
            self.set(self.now() + timedelta(seconds=seconds))


if __name__ == "__main__":
    Container.clock.override(providers.Object(FileClock(Path(os.environ[CLOCK]))))
    sft()
