"""
The REST edge on memory alone: a service for each test, or one that a module's tests share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from support.edge import Edge, edge

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
