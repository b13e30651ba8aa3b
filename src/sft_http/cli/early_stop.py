"""
A stop that is asked for before the server has handlers of its own.

The first process of a container gets no SIGTERM that it has no handler for, and everywhere else
the default is to end in the middle of whatever is being made.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_AGAIN_SECONDS: Final = 0.01
_LOOK_SECONDS: Final = 0.01
_LOOKS: Final = 100


class Stopped(KeyboardInterrupt):
    """
    A command was asked to stop before it had begun its work.

    A `KeyboardInterrupt`, because that is what drivers and transactions know how to be broken off by.
    """


class EarlyStop:
    """
    SIGTERM and SIGINT end a start: what is under way is undone, what is complete stays.
    """

    def __init__(self) -> None:
        self.asked = False
        self._is_losing = False
        self._has_come = False
        self._before: dict[signal.Signals, object] = {}
        self._hook_before = sys.unraisablehook

    def heed(self) -> None:
        """
        Raise `Stopped` in the main thread at the first of the signals, from now on.
        """
        if threading.current_thread() is threading.main_thread() and not self._before:
            self._before = {number: signal.signal(number, self._take) for number in _SIGNALS}
            self._hook_before, sys.unraisablehook = sys.unraisablehook, self._lost

    def forget(self) -> None:
        """
        Give back the handlers of before, unless somebody else has taken over.
        """
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._take:
                signal.signal(number, handler)  # type: ignore[arg-type]  # it is what we were given
        if self._before:
            sys.unraisablehook = self._hook_before
        self._before = {}

    def check(self) -> None:
        """
        Raise `Stopped` if one came: a signal may arrive where Python lets no exception pass.
        """
        if self.asked:
            raise Stopped

    def _lost(self, lost: sys.UnraisableHookArgs) -> None:
        """
        The exception met a finaliser, which lets none pass: it is raised again in a moment, elsewhere.
        """
        if not isinstance(lost.exc_value, Stopped):
            self._hook_before(lost)
            return
        self._is_losing = True
        self.asked = False
        threading.Thread(target=self._ask_again, daemon=True).start()
        self._is_losing = False

    def _ask_again(self) -> None:
        """
        Until it is taken, one signal after the other; or until they are taken by somebody else.
        """
        while not self.asked:
            time.sleep(_AGAIN_SECONDS)
            self._has_come = False
            os.kill(os.getpid(), signal.SIGTERM)
            # No event or lock: a handler that waits for one may have interrupted who has it.
            for _ in range(_LOOKS):
                if self._has_come:
                    break
                time.sleep(_LOOK_SECONDS)
            else:
                return

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        # A second one must not break off what the first one has begun to undo. And what is raised
        # where a lost one is told would be lost itself.
        is_taken = not self.asked and not self._is_losing
        self.asked |= is_taken
        self._has_come = True
        if is_taken:
            raise Stopped
