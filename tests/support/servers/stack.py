"""
The whole service on real servers: PostgreSQL, Valkey and S3, and workers in front of them.
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
"""Sign-in is not what is looked at."""


@attrs.frozen
class Stack:
    """
    A service and the three servers it stands on.
    """

    service: Service
    postgres: backends.Server
    valkey: backends.Server
    s3: backends.Server


@contextmanager
def stack(root: Path, *, settings: Mapping[str, str] = {}) -> Iterator[Stack]:
    """
    Start everything, and end it with the block: servers that a test may break.
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
    Two workers on servers that are there, with a database and a bucket of their own.
    """
    with (
        settings_on(postgres, valkey, s3) as named,
        serving(root, workers=2, settings={**named, **LIGHT, **settings}) as service,
    ):
        yield service


@contextmanager
def settings_on(postgres: backends.Postgres, valkey: backends.Valkey, s3: backends.S3) -> Iterator[Mapping[str, str]]:
    """
    The settings of a service on these servers; the database is gone with the block.
    """
    with postgres.database() as url:
        yield {"DATABASE_URL": url, "REDIS_URL": valkey.url, **s3.environ(f"sft-stack-{secrets.token_hex(6)}")}
