"""
The sweep of a running server: a thread of its own in each worker, of which one at a time works.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

import attrs

from sft_core.errors import SftError
from sft_core.maintenance.sweep import SweepInTurn, Swept

log: Final = logging.getLogger("sft.sweep")

_FIRST_FRACTION: Final = 0.1
"""After which part of the interval the first sweep comes: a start has other things to do."""


@attrs.define
class SweepThread:
    """
    Sweeps every `interval_seconds`, after a `check` of the storage, from `start` until `close`.

    It takes no thread from any lane and holds up nobody: not even a stop, which waits for what is
    under way for `stop_seconds` at most. What is not done then the next sweep does.
    """

    sweep: SweepInTurn
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
        Begin; called once, and after the fork.
        """
        self._thread.start()

    def close(self) -> None:
        """
        End after the step that is under way, and leave the turn to another worker.
        """
        self._stopping.set()
        self._thread.join(self.stop_seconds)

    def _run(self) -> None:
        seconds = self.interval_seconds * _FIRST_FRACTION
        while not self._stopping.wait(seconds):
            self._attempt(self._sweep)
            seconds = self.interval_seconds
        self._attempt(self.sweep.stop)

    def _sweep(self) -> None:
        # The schema may have been brought further since, by a newer version beside this one.
        self.check()
        swept = self.sweep(may_go_on=lambda: not self._stopping.is_set())
        if swept is not None and swept != Swept():
            level = logging.WARNING if swept.failures else logging.INFO
            log.log(level, "swept", extra={"fields": attrs.asdict(swept)})

    def _attempt(self, act: Callable[[], None]) -> None:
        """
        Do it; whatever goes wrong, there is a next time.
        """
        try:
            act()
        except SftError as error:
            log.warning("no sweep now", extra={"fields": {"code": error.code, "detail": error.detail}})
        except Exception:
            log.exception("a sweep broke off")
