"""
The application on memory alone, one user, and a clock that tests set.
"""

from __future__ import annotations

import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_adapters.memory.clock import SettableClock
from sft_core.application import Application
from sft_core.users.model import User
from support.app.library import LIGHT, register


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def sft(clock: SettableClock) -> Application:
    return memory_application(clock, LIGHT)


@pytest.fixture
def maya(sft: Application) -> User:
    return register(sft, "maya")
