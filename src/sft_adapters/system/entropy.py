"""
The operating system's random bytes.
"""

from __future__ import annotations

import os

import attrs


@attrs.frozen
class SystemEntropy:
    """
    Implements `sft_core.ports.Entropy` by the kernel's generator, whose state is not copied by a fork.
    """

    def random_bytes(self, size: int) -> bytes:
        return os.urandom(size)
