"""
The capacity check of stores that cannot determine their free space: memory and S3.
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
