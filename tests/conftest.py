"""
Real servers for whoever asks for one: started at the first use, once in each test process.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from support import servers


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[servers.Valkey]:
    with servers.valkey() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[servers.S3]:
    with servers.s3() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: servers.Postgres) -> Iterator[str]:
    """
    The URL of a database of its own for one test.
    """
    with postgres.database() as url:
        yield url


@pytest.fixture
def bucket() -> str:
    """
    The name of a bucket of its own for one test; whoever uses it makes it.
    """
    return f"sft-test-{secrets.token_hex(6)}"
