"""
The whole service on real PostgreSQL, Valkey and S3 servers, with several workers.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs

from support.servers import backends
from support.servers.service import Service, serving

LIGHT = {"ARGON2_MEMORY_KIB": "8192", "HASH_CONCURRENCY": "2"}
"""Cheap password hashes: these tests do not measure sign-in."""


@attrs.frozen
class Stack:
    """
    A service and its three servers.
    """

    service: Service
    postgres: backends.Server
    valkey: backends.Server
    s3: backends.Server


@contextmanager
def stack(root: Path, *, settings: Mapping[str, str] = {}) -> Iterator[Stack]:
    """
    Start a service on its own servers, which a test may break, and stop everything with the block.
    """
    with (
        backends.own_postgres() as postgres,
        backends.own_valkey() as valkey,
        backends.own_s3() as s3,
        serving_on(root, postgres, valkey, s3, settings=settings) as service,
    ):
        assert postgres.server is not None
        assert valkey.server is not None
        assert s3.server is not None
        yield Stack(service, postgres.server, valkey.server, s3.server)


@contextmanager
def serving_on(
    root: Path,
    postgres: backends.Postgres,
    valkey: backends.Valkey,
    s3: backends.S3,
    *,
    settings: Mapping[str, str] = {},
) -> Iterator[Service]:
    """
    Run two workers on existing servers, with a database and a bucket of their own.
    """
    with (
        settings_on(postgres, valkey, s3) as named,
        serving(root, workers=2, settings={**named, **LIGHT, **settings}) as service,
    ):
        yield service


@contextmanager
def settings_on(postgres: backends.Postgres, valkey: backends.Valkey, s3: backends.S3) -> Iterator[Mapping[str, str]]:
    """
    Return a service's settings on these servers; its database is dropped with the block.
    """
    with postgres.database() as url:
        yield {"DATABASE_URL": url, "REDIS_URL": valkey.url, **s3.environ(f"sft-stack-{secrets.token_hex(6)}")}
