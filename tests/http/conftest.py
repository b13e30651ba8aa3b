"""
The REST edge on memory alone: a service for each test, or one that a module's tests share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sft_adapters.bootstrap.configuration import ephemeral_keys
from sft_adapters.bootstrap.container import memory_application
from sft_adapters.settings import Settings
from sft_core.application import Application
from sft_core.users.model import User
from sft_http.concurrency.memory_budgets import Limits
from sft_http.concurrency.thread_pools import Lanes
from support.edge import Edge, edge
from support.library import LIGHT, SOON, register

MakeEdge = Callable[..., Edge]


@contextmanager
def edges() -> Iterator[MakeEdge]:
    with ExitStack() as opened:

        def make(**environ: str) -> Edge:
            made = edge(**environ)
            opened.callback(made.lanes.close)
            return made

        yield make


@pytest.fixture
def make_edge() -> Iterator[MakeEdge]:
    """
    Makes services with settings of their own: `make_edge(MAX_FILE_SIZE="1000")`.
    """
    with edges() as make:
        yield make


@pytest.fixture
def service(make_edge: MakeEdge) -> Edge:
    """
    A fresh service, for tests that move its clock, break it, or count what it holds.
    """
    return make_edge()


@pytest.fixture
def token(service: Edge) -> str:
    return service.sign_up()


@pytest.fixture(scope="module")
def shared_service() -> Iterator[Edge]:
    """
    One service for all tests of a module; such a module gives it the name `service` itself.
    """
    with edges() as make:
        yield make()


@pytest.fixture(scope="module")
def shared_token(shared_service: Edge) -> str:
    return shared_service.sign_up()


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    """
    Lanes with room for two parts at once, without an edge around them.
    """
    lanes = Lanes(
        control_threads=2,
        transfer_threads=4,
        hash_threads=1,
        hash_wait_seconds=SOON,
        queue_limit=8,
        queue_wait_seconds=SOON,
        limits=Limits.of(Settings.from_env(ephemeral_keys(), data_dir=Path("/nonexistent"))),
    )
    yield lanes
    lanes.close()


@pytest.fixture
def sft() -> Application:
    """
    The library by itself, for tests of what the edge does with it.
    """
    return memory_application(environ=LIGHT)


@pytest.fixture
def maya(sft: Application) -> User:
    return register(sft, "maya")
