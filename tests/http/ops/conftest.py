"""
What several tests of the commands stand on.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.servers import backends
from support.servers.backends import S3


@pytest.fixture(scope="module")
def own_s3() -> Iterator[S3]:
    """
    A server whose objects can be made old.
    """
    with backends.own_s3() as server:
        yield server
