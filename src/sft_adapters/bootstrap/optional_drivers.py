"""
The adapters whose drivers are extras of the distribution: imported where the settings ask for them.

Whoever runs on the embedded default needs none of them installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sft_adapters.settings import Settings
from sft_core.errors import BlobStoreUnavailable, ConfigurationError
from sft_core.ports import Entropy, RateLimiter
from sft_core.users.ports import SessionStore
from sft_core.vault.ports import MarkedStore

if TYPE_CHECKING:
    from sft_adapters.minio.client import S3Client
    from sft_adapters.redis.client import Client as RedisClient


@contextmanager
def _driver_of(extra: str, setting: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"{setting} is set, but its driver is not installed: install secure-file-transfer[{extra}]",
        ) from None


def redis_client(settings: Settings) -> RedisClient:
    """
    A client of the Redis server; nothing is connected yet.
    """
    with _driver_of("redis", "REDIS_URL"):
        from sft_adapters.redis.client import open_client  # noqa: PLC0415 (its driver is an extra)
    return open_client(
        settings.redis_url or "",
        database=settings.redis_session_db,
        timeout_seconds=settings.redis_timeout_seconds,
        rest_seconds=settings.redis_rest_seconds,
        connections=settings.redis_connections,
        wait_seconds=settings.redis_wait_seconds,
        owed_keys=settings.redis_owed_keys,
    )


def redis_sessions(settings: Settings, client: RedisClient, durable: SessionStore, entropy: Entropy) -> SessionStore:
    """
    Redis as a cache in front of the sessions in the database.
    """
    from sft_adapters.redis.sessions import RedisSessions  # noqa: PLC0415 (its driver is an extra)

    return RedisSessions(
        client,
        durable,
        entropy,
        entry_seconds=settings.session_cache_seconds,
        lease_seconds=settings.session_lease_seconds,
    )


def redis_limiter(client: RedisClient, fallback: RateLimiter) -> RateLimiter:
    """
    Attempts counted in Redis, and in the database while Redis cannot be used.
    """
    from sft_adapters.redis.rate_limiter import RedisRateLimiter  # noqa: PLC0415 (its driver is an extra)

    return RedisRateLimiter(client, fallback)


def s3_client(settings: Settings) -> S3Client:
    """
    A client of the S3 server; nothing is connected yet.
    """
    with _driver_of("minio", "MINIO_ENDPOINT"):
        from sft_adapters.minio.client import open_client  # noqa: PLC0415 (its driver is an extra)
    if settings.minio_secret_key is None:
        raise ConfigurationError("MINIO_SECRET_KEY is not set")
    return open_client(
        endpoint=settings.minio_endpoint or "",
        access_key=settings.minio_access_key or "",
        secret_key=settings.minio_secret_key,
        region=settings.minio_region,
        secure=settings.minio_secure,
        ca_file=settings.minio_ca_file,
        connect_seconds=settings.minio_connect_seconds,
        read_seconds=settings.minio_read_seconds,
        call_seconds=settings.minio_call_seconds,
        connections=settings.minio_connections,
    )


def s3_blobs(settings: Settings, client: S3Client) -> MarkedStore:
    """
    Blobs in the bucket, which must be there.
    """
    from sft_adapters.minio.blobs import MinioBlobs  # noqa: PLC0415 (its driver is an extra)

    return MinioBlobs(client, settings.minio_bucket_name, conditional_writes=settings.minio_conditional_writes)


def prepare_bucket(settings: Settings) -> None:
    """
    Make the bucket if it is missing, and say by name what is wrong with the settings of the S3 server.
    """
    client = s3_client(settings)
    from sft_adapters.minio.buckets import ensure_bucket, writes_conditionally  # noqa: PLC0415 (its driver is an extra)

    try:
        ensure_bucket(client, settings.minio_bucket_name)
        if settings.minio_conditional_writes and not writes_conditionally(client, settings.minio_bucket_name):
            raise ConfigurationError("MINIO_CONDITIONAL_WRITES is on, but the server does not keep to If-None-Match")
    except BlobStoreUnavailable as error:
        raise BlobStoreUnavailable(f"MINIO_ENDPOINT: the blob store cannot be used: {error.detail}") from None
    finally:
        client.close()


def check_redis(settings: Settings) -> bool:
    """
    Return whether the Redis server is available; one that is not may become available later.

    Raises:
        ConfigurationError: a setting is wrong; the sentence names it.
    """
    client = redis_client(settings)
    try:
        return client.check()
    finally:
        client.close()
