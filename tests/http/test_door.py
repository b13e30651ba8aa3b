"""
How many connections the descriptors of a process allow.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sft_core.errors import ConfigurationError
from sft_http.server.connection_limit import Room
from support.edge import Edge


@pytest.mark.parametrize("descriptors", [128, 256, 1024, 65_536])
def test_connections_never_take_the_last_descriptor(service: Edge, descriptors: int) -> None:
    """Each is counted as two; what is left is for storage, and no more than is set is served."""
    room = Room.of(service.settings, descriptors=descriptors)
    assert 2 * (room.served + room.spare) <= descriptors - 48
    assert 0 < room.spare <= 16
    assert 0 < room.served <= service.settings.server.max_connections


def test_as_many_as_are_set_are_served(make_edge: Callable[..., Edge]) -> None:
    """The unit of MAX_CONNECTIONS is a connection."""
    assert Room.of(make_edge(MAX_CONNECTIONS="7").settings, descriptors=65_536).served == 7


def test_too_few_descriptors_are_refused(service: Edge) -> None:
    """The sentence names both numbers."""
    with pytest.raises(ConfigurationError, match=r"may open 64 files .* needs \d+ at least"):
        Room.of(service.settings, descriptors=64)
