"""
What has to be made good and could not be just now: tried again until it is done.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Final

import attrs

from sft_core.errors import SftError

log: Final = logging.getLogger("sft.retries")


@attrs.define
class Retries:
    """
    Calls that failed and are made again, all of them every `seconds`, on a thread that lives as long as any is owed.

    They are few: what cannot be kept, beyond `limit` or when the process ends, a sweep finds by the rows.
    """

    seconds: float = 5.0
    limit: int = 10_000
    _owed: deque[Callable[[], None]] = attrs.field(factory=deque, init=False)
    _lock: Lock = attrs.field(factory=Lock, init=False)
    _stopping: Event = attrs.field(factory=Event, init=False)
    _thread: Thread | None = attrs.field(default=None, init=False)

    def owe(self, call: Callable[[], None]) -> None:
        """
        Make a call later, and again until it raises no more.
        """
        with self._lock:
            if self._stopping.is_set() or len(self._owed) >= self.limit:
                return
            self._owed.append(call)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="sft-retries", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """
        Try no more; what is under way ends first.
        """
        self._stopping.set()
        if (thread := self._thread) is not None:
            thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self.seconds):
            for _ in range(len(self._owed)):
                call = self._owed.popleft()
                if not self._stopping.is_set() and not _succeeds(call):
                    self._owed.append(call)
            with self._lock:
                if not self._owed:
                    self._thread = None
                    return


def _succeeds(call: Callable[[], None]) -> bool:
    try:
        call()
    except SftError:
        return False
    except Exception:
        # No other try would end otherwise.
        log.exception("something owed could not be made good")
    return True
