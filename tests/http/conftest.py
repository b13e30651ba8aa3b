"""
A service on memory alone: one shared by a module's tests, or as many with settings of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.edge import Edge, edge

Serve = Callable[..., Edge]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    made: list[Edge] = []

    def start(**environ: str) -> Edge:
        made.append(edge(**environ))
        return made[-1]

    yield start
    for one in made:
        one.lanes.close()


@pytest.fixture(scope="module")
def service(serve: Serve) -> Edge:
    return serve()


@pytest.fixture(scope="module")
def token(service: Edge) -> str:
    return service.sign_up()
