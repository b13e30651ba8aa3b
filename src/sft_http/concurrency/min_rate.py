"""
The minimum rate at which a client must send or receive.
"""

from __future__ import annotations

import attrs


@attrs.define(kw_only=True)
class Pace:
    """
    Measures how far one client is behind `bytes_per_second`, while the server waits for it.

    A client that transfers nothing falls behind by one second per second; each byte reduces the lag. The lag
    never falls below zero: a fast beginning does not permit a slow end.
    """

    patience_seconds: float
    bytes_per_second: float
    _behind_seconds: float = attrs.field(default=0.0, init=False)

    def keeps_up(self, *, waited_seconds: float, moved_bytes: int) -> bool:
        """
        Record a wait and the bytes transferred in it; False once the lag exceeds `patience_seconds`.
        """
        behind = self._behind_seconds + waited_seconds - moved_bytes / self.bytes_per_second
        self._behind_seconds = max(0.0, behind)
        return self._behind_seconds <= self.patience_seconds
