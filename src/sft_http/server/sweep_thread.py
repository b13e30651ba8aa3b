"""
The periodic sweep: one thread in each worker, of which one at a time sweeps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

import attrs

from sft_core.errors import SftError
from sft_core.maintenance.sweep import LeasedSweep, SweepResult

log: Final = logging.getLogger("sft.sweep")

_FIRST_FRACTION: Final = 0.1
"""The fraction of the interval before the first sweep, which would slow down the start."""


@attrs.define
class SweepThread:
    """
    Sweeps every `interval_seconds`, after a `check` of the storage, from `start` until `close`.

    It uses a thread outside the pools of requests. `close` waits for the step in progress for at most `stop_seconds`,
    and releases the lease for another worker; the next sweep does the rest.
    """

    sweep: LeasedSweep
    check: Callable[[], None] = attrs.field(kw_only=True)
    interval_seconds: float = attrs.field(kw_only=True)
    stop_seconds: float = attrs.field(kw_only=True)
    _stopping: Event = attrs.field(factory=Event, init=False)
    _thread: Thread = attrs.field(init=False, repr=False)

    @_thread.default
    def _new_thread(self) -> Thread:
        return Thread(target=self._run, name="sft-sweep", daemon=True)

    def start(self) -> None:
        """
        Start the thread; call it once, after the fork.
        """
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(self.stop_seconds)

    def _run(self) -> None:
        seconds = self.interval_seconds * _FIRST_FRACTION
        while not self._stopping.wait(seconds):
            self._attempt(self._sweep)
            seconds = self.interval_seconds
        self._attempt(self.sweep.stop)

    def _sweep(self) -> None:
        # A newer release that runs beside this one may have migrated the schema.
        self.check()
        swept = self.sweep(should_continue=lambda: not self._stopping.is_set())
        if swept is not None and swept != SweepResult():
            level = logging.WARNING if swept.failures else logging.INFO
            log.log(level, "swept", extra={"fields": attrs.asdict(swept)})

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except SftError as error:
            log.warning("the sweep failed", extra={"fields": {"code": error.code, "detail": error.detail}})
        except Exception:
            log.exception("the sweep failed unexpectedly")
