"""
A fresh edge for each test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.edge import Edge, edge


@pytest.fixture
def make_edge() -> Iterator[Callable[..., Edge]]:
    made: list[Edge] = []

    def make(**environ: str) -> Edge:
        made.append(edge(**environ))
        return made[-1]

    yield make
    for one in made:
        one.lanes.close()


@pytest.fixture
def service(make_edge: Callable[..., Edge]) -> Edge:
    return make_edge()


@pytest.fixture
def token(service: Edge) -> str:
    return service.sign_up()
