"""
SIGTERM and SIGINT during a start, before the server has installed its own handlers.

Without a handler the first process of a container ignores SIGTERM, and any other ends in the middle of what it creates.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Final

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_RESEND_SECONDS: Final = 0.01


class Stopped(KeyboardInterrupt):
    """
    A signal stopped the command during its start.

    It is an interrupt, because drivers and transactions clean up after one.
    """


class StartupSignals:
    """
    Signal handlers for the start: SIGTERM and SIGINT end it cleanly.

    Running work is rolled back; completed work is kept. The first signal raises `Stopped` in the main thread. Later
    ones are ignored, so that none interrupts the clean-up. Python discards an exception that is raised in a
    finaliser; then SIGTERM is sent again by a timer (SIGALRM), to whichever handler is installed by that time.
    """

    def __init__(self) -> None:
        self.requested = False
        self._is_in_hook = False
        self._previous: dict[signal.Signals, object] = {}
        self._previous_hook = sys.unraisablehook

    def install(self) -> None:
        """
        Install the handlers; they can only be installed in the main thread.
        """
        if threading.current_thread() is not threading.main_thread() or self._previous:
            return
        self._previous_hook, sys.unraisablehook = sys.unraisablehook, self._on_unraisable
        handlers = {signal.SIGALRM: self._resend} | dict.fromkeys(_STOP_SIGNALS, self._stop)
        self._previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}

    def restore(self) -> None:
        """
        Restore the previous handlers, except where other code has installed its own since.
        """
        if not self._previous:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, previous in self._previous.items():
            if signal.getsignal(number) in (self._stop, self._resend):
                signal.signal(number, previous)  # type: ignore[arg-type]  # as `signal.signal` returned it
        sys.unraisablehook = self._previous_hook
        self._previous = {}

    def check(self) -> None:
        """
        Raise `Stopped` if a signal has arrived: other code may have discarded the exception.
        """
        if self.requested:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Stopped

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if not self.requested:
            self.requested = True
            raise Stopped

    def _on_unraisable(self, discarded: sys.UnraisableHookArgs) -> None:
        if not isinstance(discarded.exc_value, Stopped):
            self._previous_hook(discarded)
            return
        # An exception that is raised in this hook is discarded for good: no signal raises until it has returned.
        self._is_in_hook = True
        signal.setitimer(signal.ITIMER_REAL, _RESEND_SECONDS, _RESEND_SECONDS)
        self._is_in_hook = False

    def _resend(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_in_hook:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.requested = False
            signal.raise_signal(signal.SIGTERM)
