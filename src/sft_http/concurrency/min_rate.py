"""
The minimum rate at which a client must send or receive.
"""

from __future__ import annotations

import attrs

from sft_adapters.settings.catalogue import ServerSettings


@attrs.define(kw_only=True)
class MinimumRate:
    """
    Measures how far one client is behind `bytes_per_second`, while the server waits for it.

    A client that transfers nothing falls behind by one second per second; each byte reduces the lag. The lag
    never falls below zero: a fast beginning does not permit a slow end.
    """

    tolerance_seconds: float
    bytes_per_second: float
    _deficit_seconds: float = attrs.field(default=0.0, init=False)

    @classmethod
    def from_settings(cls, settings: ServerSettings) -> MinimumRate:
        return cls(tolerance_seconds=settings.stall_seconds, bytes_per_second=settings.min_bytes_per_second)

    def record(self, *, waited_seconds: float, moved_bytes: int) -> bool:
        """
        Record a wait and the bytes transferred in it; False once the lag exceeds `tolerance_seconds`.
        """
        deficit = self._deficit_seconds + waited_seconds - moved_bytes / self.bytes_per_second
        self._deficit_seconds = max(0.0, deficit)
        return self._deficit_seconds <= self.tolerance_seconds
