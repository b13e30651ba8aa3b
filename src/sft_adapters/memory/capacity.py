"""
The capacity check of a store that cannot determine its free space: in memory, or on an S3 server.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class UnknownCapacity:
    """
    Implements `sft_core.vault.ports.CapacityCheck` by accepting every size; a put reports a full store.
    """

    def require_bytes(self, size: int) -> None:
        pass
