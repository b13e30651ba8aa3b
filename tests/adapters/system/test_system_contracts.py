"""
The system adapters pass every contract.
"""

from __future__ import annotations

import pytest

from sft_adapters.memory.clock import SettableClock
from sft_adapters.system import SystemClock, SystemEntropy, Uuid7Generator
from sft_adapters.testkit import contracts


class TestSystemClock(contracts.ClockContract):
    """
    The machine's clock.
    """

    @pytest.fixture
    def clock(self) -> SystemClock:
        return SystemClock()


class TestSystemEntropy(contracts.EntropyContract):
    """
    The machine's randomness.
    """

    @pytest.fixture
    def entropy(self) -> SystemEntropy:
        return SystemEntropy()


class TestUuid7Generator(contracts.IdGeneratorContract):
    """
    Identifiers, by a running clock.
    """

    @pytest.fixture
    def ids(self) -> Uuid7Generator:
        return Uuid7Generator(SystemClock(), SystemEntropy())


class TestUuid7GeneratorOnAStoppedClock(contracts.IdGeneratorContract):
    """
    Identifiers, by a stopped clock.
    """

    @pytest.fixture
    def ids(self) -> Uuid7Generator:
        return Uuid7Generator(SettableClock(), SystemEntropy())
