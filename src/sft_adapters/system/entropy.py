"""
The machine's randomness.
"""

from __future__ import annotations

import os

import attrs


@attrs.frozen
class SystemEntropy:
    """
    Implements `sft_core.ports.Entropy` by the kernel's generator, which a fork does not copy.
    """

    def draw(self, size: int) -> bytes:
        return os.urandom(size)
