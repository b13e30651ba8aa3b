"""
The system clock.
"""

from __future__ import annotations

from datetime import UTC, datetime

import attrs


@attrs.frozen
class SystemClock:
    """
    Implements `sft_core.ports.Clock` by the operating system's clock.
    """

    def now(self) -> datetime:
        return datetime.now(UTC)
