"""
Clients of a real Valkey server: each test has its own prefix, and all clients are closed at its end.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from sft_adapters.redis.client import Client, open_client
from support.faults.redis_faults import Connect
from support.servers import backends


@pytest.fixture
def connect() -> Iterator[Connect]:
    """
    Opens clients that share a prefix, with long timeouts for a busy machine unless the test sets others.
    """
    prefix, opened = f"sft-test-{secrets.token_hex(6)}:", []

    def connect(url: str, **options: Any) -> Client:
        generous = {"timeout_seconds": 5.0, "wait_seconds": 5.0, "cooldown_seconds": 0.05}
        opened.append(open_client(url, **{"prefix": prefix, **generous, **options}))
        return opened[-1]

    yield connect
    for client in opened:
        client.close()


@pytest.fixture
def client(connect: Connect, valkey: backends.Valkey) -> Client:
    return connect(valkey.url)


@pytest.fixture
def beside(valkey: backends.Valkey) -> Iterator[redis.Redis]:
    """
    A direct connection to the server, past the client under test.
    """
    with valkey.client() as client:
        yield client


@pytest.fixture(scope="module")
def own() -> Iterator[backends.Valkey]:
    """
    A Valkey server that a test may break and must restore.
    """
    with backends.own_valkey("--enable-debug-command", "yes") as server:
        yield server
