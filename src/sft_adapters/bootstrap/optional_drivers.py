"""
Adapters whose drivers are extras of the distribution, imported only if the settings need them.

The embedded default runs with none of them installed. The settings of Redis and of the S3 server are named as the
parameters of the clients that they open.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
from attrs.filters import exclude

from sft_adapters.settings.catalogue import RedisSettings, S3Settings, SessionSettings
from sft_core.errors import BlobStoreUnavailable, ConfigurationError
from sft_core.ports import Entropy, RateLimiter
from sft_core.users.ports import SessionStore
from sft_core.vault.ports import IdentifiedBlobStore

if TYPE_CHECKING:
    from sft_adapters.minio.client import S3Client
    from sft_adapters.redis.client import Client as RedisClient


@contextmanager
def _require_driver(extra: str, setting: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"{setting} is set, but its driver is not installed: install secure-file-transfer[{extra}]",
        ) from None


def redis_client(redis: RedisSettings) -> RedisClient:
    """
    Return a client of the Redis server; nothing is connected yet.
    """
    with _require_driver("redis", "REDIS_URL"):
        from sft_adapters.redis.client import open_client  # noqa: PLC0415 (its driver is an extra)
    return open_client(**attrs.asdict(redis))


def redis_sessions(
    sessions: SessionSettings, client: RedisClient, durable: SessionStore, entropy: Entropy
) -> SessionStore:
    """
    Return sessions that Redis caches in front of the database.
    """
    from sft_adapters.redis.sessions import RedisSessions  # noqa: PLC0415 (its driver is an extra)

    entry_seconds, lease_seconds = sessions.cache_seconds, sessions.lease_seconds
    return RedisSessions(client, durable, entropy, entry_seconds=entry_seconds, lease_seconds=lease_seconds)


def redis_limiter(client: RedisClient, fallback: RateLimiter) -> RateLimiter:
    """
    Return a limiter that counts in Redis, or in `fallback` while Redis is unavailable.
    """
    from sft_adapters.redis.rate_limiter import RedisRateLimiter  # noqa: PLC0415 (its driver is an extra)

    return RedisRateLimiter(client, fallback)


def s3_client(s3: S3Settings) -> S3Client:
    """
    Return a client of the S3 server; nothing is connected yet.
    """
    with _require_driver("minio", "MINIO_ENDPOINT"):
        from sft_adapters.minio.client import open_client  # noqa: PLC0415 (its driver is an extra)
    return open_client(**attrs.asdict(s3, recurse=False, filter=exclude("bucket", "conditional_writes")))


def s3_blobs(s3: S3Settings, client: S3Client) -> IdentifiedBlobStore:
    """
    Return the store of blobs in the bucket, which must exist.
    """
    from sft_adapters.minio.blobs import MinioBlobs  # noqa: PLC0415 (its driver is an extra)

    return MinioBlobs(client, s3.bucket, conditional_writes=s3.conditional_writes)


def prepare_bucket(s3: S3Settings, client: S3Client) -> None:
    """
    Create the bucket if it is missing, and check that the server supports the settings.

    Raises:
        ConfigurationError: a setting of the S3 server is wrong; it is named.
        BlobStoreUnavailable: the server does not answer.
    """
    from sft_adapters.minio.buckets import ensure_bucket, supports_conditional_writes  # noqa: PLC0415 (its driver is an extra)

    try:
        ensure_bucket(client, s3.bucket)
        if s3.conditional_writes and not supports_conditional_writes(client, s3.bucket):
            raise ConfigurationError("MINIO_CONDITIONAL_WRITES is on, but the server does not keep to If-None-Match")
    except BlobStoreUnavailable as error:
        raise BlobStoreUnavailable(f"MINIO_ENDPOINT: the blob store cannot be used: {error.detail}") from None
