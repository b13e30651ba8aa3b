"""
The connection limit, within the file descriptors of a process.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sft_core.errors import ConfigurationError
from sft_http.server.connection_limit import ConnectionLimits
from support.app.edge import Edge


@pytest.mark.parametrize("descriptors", [128, 256, 1024, 65_536])
def test_connection_limit_leaves_descriptors_for_storage(service: Edge, descriptors: int) -> None:
    """Each connection counts as two descriptors, 48 stay available, and the configured limit is not exceeded."""
    connection_limits = ConnectionLimits.from_settings(service.settings, descriptors=descriptors)
    assert 2 * (connection_limits.max_connections + connection_limits.reserve) <= descriptors - 48
    assert 0 < connection_limits.reserve <= 16
    assert 0 < connection_limits.max_connections <= service.settings.server.max_connections


def test_configured_connection_limit_is_used(make_edge: Callable[..., Edge]) -> None:
    """The unit of MAX_CONNECTIONS is a connection."""
    assert (
        ConnectionLimits.from_settings(make_edge(MAX_CONNECTIONS="7").settings, descriptors=65_536).max_connections == 7
    )


def test_too_few_descriptors_are_rejected(service: Edge) -> None:
    """The error names the available and the required number."""
    with pytest.raises(ConfigurationError, match=r"may open 64 files .* needs \d+ at least"):
        ConnectionLimits.from_settings(service.settings, descriptors=64)
