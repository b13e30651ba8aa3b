"""
The machine's clock, random bytes and identifiers.
"""

from sft_adapters.system.clock import SystemClock
from sft_adapters.system.entropy import SystemEntropy
from sft_adapters.system.ids import Uuid7Generator

__all__ = ["SystemClock", "SystemEntropy", "Uuid7Generator"]
