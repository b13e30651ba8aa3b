"""
Clients of a real Valkey: each test with a prefix of its own, all closed at its end.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from sft_adapters.redis.client import Client, open_client
from support import servers
from support.redis_faults import Connect


@pytest.fixture
def connect() -> Iterator[Connect]:
    """
    Opens clients that share a prefix.
    """
    prefix, opened = f"sft-test-{secrets.token_hex(6)}:", []

    def connect(url: str, **options: Any) -> Client:
        opened.append(open_client(url, **{"prefix": prefix, "rest_seconds": 0.05, **options}))
        return opened[-1]

    yield connect
    for client in opened:
        client.close()


@pytest.fixture
def client(connect: Connect, valkey: servers.Valkey) -> Client:
    return connect(valkey.url)


@pytest.fixture(scope="module")
def own() -> Iterator[servers.Valkey]:
    """
    A server to break; who breaks it mends it.
    """
    with servers.own_valkey("--enable-debug-command", "yes") as server:
        yield server
