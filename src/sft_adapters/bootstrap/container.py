"""
The composition root: which adapters implement which ports. The only module that names them all.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dependency_injector import containers, providers

from sft_adapters.bootstrap import optional_drivers
from sft_adapters.bootstrap.use_cases import Adapters, build_application
from sft_adapters.crypto.content import ChunkedCipher
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.crypto.passwords import Argon2Cost, Argon2idHasher
from sft_adapters.crypto.qr import QrPng
from sft_adapters.crypto.tokens import JwtSigner
from sft_adapters.crypto.totp import PyotpProvider
from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.keyring.loading import KeySet, ephemeral_keys, load_keys
from sft_adapters.keyring.reloading import ReloadingKeyRing
from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.memory.capacity import UnknownCapacity
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.leases import MemoryLeases
from sft_adapters.memory.rate_limiter import MemoryRateLimiter
from sft_adapters.memory.retention import MemoryExpiredLinkTokens
from sft_adapters.memory.sessions import MemorySessions
from sft_adapters.settings import Settings
from sft_adapters.sql import retention
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import PostgresTimeouts, open_engine
from sft_adapters.sql.leases import SqlLeases
from sft_adapters.sql.rate_limiter import SqlRateLimiter
from sft_adapters.sql.sessions import SqlSessions
from sft_adapters.system import SystemClock, SystemEntropy, Uuid7Generator
from sft_core.application import Application
from sft_core.ports import Clock


class Container(containers.DeclarativeContainer):
    """
    Builds the configured adapters and an `Application` on them; keys are loaded on first use.
    """

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    s = settings.provided

    clock = providers.Singleton(SystemClock)
    entropy = providers.Singleton(SystemEntropy)
    ids = providers.Singleton(Uuid7Generator, clock=clock, entropy=entropy)

    engine = providers.Singleton(
        open_engine,
        s.database_url,
        echo=s.database.echo,
        busy_seconds=s.database.timeout_seconds,
        connections=s.database.connections,
        timeouts=providers.Factory(
            PostgresTimeouts,
            connect_seconds=s.database.connect_seconds,
            statement_seconds=s.database.statement_seconds,
            idle_seconds=s.database.idle_seconds,
            response_grace_seconds=s.database.response_grace_seconds,
            tcp_timeout_seconds=s.database.tcp_timeout_seconds,
            recycle_seconds=s.database.recycle_seconds,
        ),
    )
    begin = providers.Singleton(SqlDatabase, engine)

    redis = providers.Singleton(optional_drivers.redis_client, s.redis)
    durable_sessions = providers.Singleton(SqlSessions, engine)
    sessions = providers.Selector(
        s.session_store,
        database=durable_sessions,
        redis=providers.Singleton(optional_drivers.redis_sessions, s.sessions, redis, durable_sessions, entropy),
        memory=providers.Singleton(MemorySessions),
    )
    durable_limiter = providers.Singleton(SqlRateLimiter, engine)
    limiter = providers.Selector(
        s.limiter_kind,
        database=durable_limiter,
        redis=providers.Singleton(optional_drivers.redis_limiter, redis, durable_limiter),
    )

    s3 = providers.Singleton(optional_drivers.s3_client, s.s3)
    blobs = providers.Selector(
        s.blob_store_kind,
        disk=providers.Singleton(DiskBlobs, s.blob_folder, reserve=s.uploads.disk_reserve),
        s3=providers.Singleton(optional_drivers.s3_blobs, s.s3, s3),
    )
    capacity = providers.Selector(s.blob_store_kind, disk=blobs, s3=providers.Singleton(UnknownCapacity))

    leases = providers.Singleton(SqlLeases, engine)
    expiring_rows = (
        providers.Singleton(retention.expired_sessions, engine),
        providers.Singleton(retention.expired_throttles, engine),
        providers.Singleton(retention.expired_idempotency_records, engine),
        providers.Singleton(retention.ExpiredLinkTokens, engine),
    )
    # Entries in Redis and in memory expire without a sweep.
    expiring = providers.Selector(
        s.blob_store_kind, disk=providers.List(*expiring_rows, blobs), s3=providers.List(*expiring_rows)
    )

    keys = providers.Singleton(load_keys, settings)
    keyring = providers.Singleton(ReloadingKeyRing, keys)
    cipher = providers.Singleton(ChunkedCipher, entropy)
    hasher = providers.Singleton(
        Argon2idHasher,
        entropy=entropy,
        cost=providers.Factory(Argon2Cost, s.hashing.memory_kib, s.hashing.iterations, s.hashing.lanes),
        max_concurrent=s.hashing.concurrency,
        wait_seconds=s.hashing.wait_seconds,
    )
    signer = providers.Singleton(JwtSigner, keys.provided.secret_key, s.security.algorithm)
    codes = providers.Singleton(PyotpProvider, entropy=entropy, issuer=s.security.two_factor_issuer)

    adapters = providers.Singleton(
        Adapters,
        begin=begin,
        sessions=sessions,
        limiter=limiter,
        leases=leases,
        expiring=expiring,
        blobs=blobs,
        capacity=capacity,
        clock=clock,
        entropy=entropy,
        ids=ids,
        keyring=keyring,
        known_keys=keyring.provided.ids,
        cipher=cipher,
        hasher=hasher,
        signer=signer,
        codes=codes,
        qr=providers.Singleton(QrPng),
    )
    application = providers.Singleton(build_application, adapters, settings)


def _container(settings: Settings, keys: KeySet | None, clock: Clock | None) -> Container:
    container = Container(settings=settings)
    if keys is not None:
        container.keys.override(providers.Object(keys))
    if clock is not None:
        container.clock.override(providers.Object(clock))
    return container


@contextmanager
def open_container(
    settings: Settings, keys: KeySet | None = None, *, clock: Clock | None = None
) -> Iterator[Container]:
    """
    Open the container of these settings; nothing is connected yet.

    `keys` and `clock` replace its own. Its connections are closed at the end of the block. `ConfigurationError` is
    raised if a client of the database, Redis or the S3 server cannot be built.
    """
    container = _container(settings, keys, clock)
    with ExitStack() as opened:
        opened.callback(container.engine().dispose)
        if settings.redis.url:
            opened.callback(container.redis().close)
        if settings.s3.endpoint:
            opened.callback(container.s3().close)
        yield container


def memory_application(clock: Clock | None = None, environ: Mapping[str, str] | None = None) -> Application:
    """
    Return an in-memory application for trials and tests; missing keys are generated.
    """
    settings = Settings.from_env(environ or {}, data_dir=Path("/nonexistent"))
    keys = load_keys(settings, stand_ins=ephemeral_keys())
    container = _container(settings, keys, clock)
    container.keyring.override(providers.Object(AesKeyRing(keys.encryption_key)))
    container.begin.override(providers.Singleton(MemoryDatabase))
    container.sessions.override(providers.Singleton(MemorySessions))
    container.limiter.override(providers.Singleton(MemoryRateLimiter))
    container.blobs.override(providers.Singleton(MemoryBlobs, now=container.clock().now))
    container.capacity.override(providers.Singleton(UnknownCapacity))
    container.leases.override(providers.Singleton(MemoryLeases))
    container.expiring.override(providers.List(providers.Singleton(MemoryExpiredLinkTokens, container.begin)))
    # As `prepare` does: this store belongs to this database.
    with container.begin()() as unit:
        container.blobs().set_store_id(unit.store_identity.set_store_id(uuid.uuid4().hex))
        unit.commit()
    return container.application()
