"""
Run `sft` with a clock that is so many hours ahead: `python later.py 26 sweep --data FOLDER`.

All that a grace period of an hour or a day protects has expired by then.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

from sft_adapters.system import SystemClock
from sft_http.cli.main import sft


def main() -> None:
    """
    Advance the clock of this process, and run the command.
    """
    ahead, now = timedelta(hours=int(sys.argv.pop(1))), SystemClock.now

    def later(self: SystemClock) -> datetime:
        return now(self) + ahead

    SystemClock.now = later  # type: ignore[method-assign]
    sft()


if __name__ == "__main__":
    main()
