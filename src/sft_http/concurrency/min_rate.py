"""
How slow a client may be, in either direction, before it is given up.
"""

from __future__ import annotations

import attrs


@attrs.define(kw_only=True)
class Pace:
    """
    Watches one client that is waited for: how far it has fallen behind `bytes_per_second`.

    A client that moves nothing falls behind by a second each second; every byte makes up for a
    little. Nobody gets ahead: a fast beginning buys no slow end.
    """

    patience_seconds: float
    bytes_per_second: float
    _behind_seconds: float = attrs.field(default=0.0, init=False)

    def keeps_up(self, *, waited_seconds: float, moved_bytes: int) -> bool:
        """
        Note a wait and what it brought; False once the client is behind by more than the patience.
        """
        behind = self._behind_seconds + waited_seconds - moved_bytes / self.bytes_per_second
        self._behind_seconds = max(0.0, behind)
        return self._behind_seconds <= self.patience_seconds
