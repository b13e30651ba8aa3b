"""
A stored file with a link, for the tests of a module.
"""

from __future__ import annotations

import pytest

from support.app.edge import Edge
from support.app.shared_file import CONTENT, Shared, shared


@pytest.fixture(scope="module")
def shared_file(shared_service: Edge, shared_token: str) -> Shared:
    """
    One file for all tests of a module, with the bytes `CONTENT` and a link without limits.
    """
    return shared(shared_service, shared_token, CONTENT)
