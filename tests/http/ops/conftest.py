"""
Fixtures that several tests of the commands share.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.servers import backends
from support.servers.backends import S3


@pytest.fixture(scope="module")
def own_s3() -> Iterator[S3]:
    """
    An S3 server whose objects' dates can be changed.
    """
    with backends.own_s3() as server:
        yield server
