"""
The HTTP edge with in-memory adapters: one service per test, or one shared by the tests of a module.
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
from sft_http.concurrency.thread_pools import ThreadPools
from support.app.edge import Edge, edge
from support.app.library import LIGHT, TIMEOUT_SECONDS, register

MakeEdge = Callable[..., Edge]


@contextmanager
def edges() -> Iterator[MakeEdge]:
    with ExitStack() as opened:

        def make(**environ: str) -> Edge:
            made = edge(**environ)
            opened.callback(made.pools.close)
            return made

        yield make


@pytest.fixture
def make_edge() -> Iterator[MakeEdge]:
    """
    Create services with settings of their own: `make_edge(MAX_FILE_SIZE="1000")`.
    """
    with edges() as make:
        yield make


@pytest.fixture
def service(make_edge: MakeEdge) -> Edge:
    """
    A new service, for tests that advance its clock, break it, or count what it stores.
    """
    return make_edge()


@pytest.fixture
def token(service: Edge) -> str:
    return service.sign_up()


@pytest.fixture(scope="module")
def shared_service() -> Iterator[Edge]:
    """
    One service for all tests of a module, which exposes it under the name `service`.
    """
    with edges() as make:
        yield make()


@pytest.fixture(scope="module")
def shared_token(shared_service: Edge) -> str:
    return shared_service.sign_up()


@pytest.fixture
def pools() -> Iterator[ThreadPools]:
    """
    Thread pools that store two parts at once, without an HTTP edge.
    """
    environ = ephemeral_keys() | {"QUEUE_LIMIT": "8", "QUEUE_WAIT_SECONDS": str(TIMEOUT_SECONDS)}
    environ |= {"CONTROL_THREADS": "2", "TRANSFER_THREADS": "4", "HASH_CONCURRENCY": "1"}
    pools = ThreadPools(Settings.from_env(environ, data_dir=Path("/nonexistent")))
    yield pools
    pools.close()


@pytest.fixture
def sft() -> Application:
    """
    The library by itself, for tests of the transfers that the edge runs on it.
    """
    return memory_application(environ=LIGHT)


@pytest.fixture
def maya(sft: Application) -> User:
    return register(sft, "maya")
