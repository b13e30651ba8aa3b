"""
`sft` as it will be in so many hours: `python later.py 26 sweep --data FOLDER`.

What an hour's or a day's grace leaves alone is old then.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

from sft_adapters.system.clock import SystemClock
from sft_http.cli.main import sft


def main() -> None:
    """
    Move the clock of this process on, and run the command.
    """
    ahead, now = timedelta(hours=int(sys.argv.pop(1))), SystemClock.now

    def later(self: SystemClock) -> datetime:
        return now(self) + ahead

    SystemClock.now = later  # type: ignore[method-assign]
    sft()


if __name__ == "__main__":
    main()
