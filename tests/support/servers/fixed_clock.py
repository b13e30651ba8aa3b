"""
`sft` with a fixed clock: `python fixed_clock.py 2026-03-06T12:05:00+00:00 serve --data FOLDER`.
"""

from __future__ import annotations

import sys
from datetime import datetime

from sft_adapters.system import SystemClock
from sft_http.cli.main import sft


def main() -> None:
    """
    Fix the clock of this process and of its forks, and run the command.
    """
    moment = datetime.fromisoformat(sys.argv.pop(1))

    def fixed(self: SystemClock) -> datetime:  # noqa: ARG001 (its shape)
        return moment

    SystemClock.now = fixed  # type: ignore[method-assign]
    sft()


if __name__ == "__main__":
    main()
