"""
The composition root: which adapters stand behind which ports. The only module that names them all.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dependency_injector import containers, providers

from sft_adapters.bootstrap import optional_drivers
from sft_adapters.bootstrap.use_cases import Adapters, application_of
from sft_adapters.crypto.content import ChunkedCipher
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.crypto.passwords import Argon2Cost, Argon2idHasher
from sft_adapters.crypto.qr import QrPng
from sft_adapters.crypto.tokens import JwtSigner
from sft_adapters.crypto.totp import PyotpCodes
from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.keyring.reloading import LiveKeyRing
from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.memory.capacity import UntoldRoom
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.leases import MemoryLeases
from sft_adapters.memory.rate_limiter import MemoryRateLimiter
from sft_adapters.memory.retention import MemoryLinksOver
from sft_adapters.memory.sessions import MemorySessions
from sft_adapters.settings import Settings
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import PostgresLimits, open_engine
from sft_adapters.sql.leases import SqlLeases
from sft_adapters.sql.rate_limiter import SqlRateLimiter
from sft_adapters.sql.retention import SqlLinksOver, answers_over, sessions_over, throttles_over
from sft_adapters.sql.sessions import SqlSessions
from sft_adapters.system import SystemClock, SystemEntropy, Uuid7Ids
from sft_core.application import Application
from sft_core.ports import Clock

_EMPTY: Final[Mapping[str, str]] = {}


class Container(containers.DeclarativeContainer):
    """
    Settings in, an `Application` out. Storage is the embedded default and may be overridden.
    """

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    s = settings.provided

    clock = providers.Singleton(SystemClock)
    entropy = providers.Singleton(SystemEntropy)
    ids = providers.Singleton(Uuid7Ids, clock=clock, entropy=entropy)

    engine = providers.Singleton(
        open_engine,
        s.database,
        echo=s.db_echo,
        busy_seconds=s.database_timeout_seconds,
        connections=s.database_connections,
        limits=providers.Factory(
            PostgresLimits,
            connect_seconds=s.database_connect_seconds,
            statement_seconds=s.database_statement_seconds,
            idle_seconds=s.database_idle_seconds,
            silence_seconds=s.database_silence_seconds,
            peer_seconds=s.database_peer_seconds,
            recycle_seconds=s.database_recycle_seconds,
        ),
    )
    begin = providers.Singleton(SqlDatabase, engine)

    redis = providers.Singleton(optional_drivers.redis_client, settings)
    durable_sessions = providers.Singleton(SqlSessions, engine)
    sessions = providers.Selector(
        s.session_store,
        database=durable_sessions,
        redis=providers.Singleton(optional_drivers.redis_sessions, settings, redis, durable_sessions, entropy),
        memory=providers.Singleton(MemorySessions),
    )
    durable_limiter = providers.Singleton(SqlRateLimiter, engine)
    limiter = providers.Selector(
        s.limiter_kind,
        database=durable_limiter,
        redis=providers.Singleton(optional_drivers.redis_limiter, redis, durable_limiter),
    )

    s3 = providers.Singleton(optional_drivers.s3_client, settings)
    blobs = providers.Selector(
        s.blob_store_kind,
        disk=providers.Singleton(DiskBlobs, s.blob_folder, reserve=s.disk_reserve),
        s3=providers.Singleton(optional_drivers.s3_blobs, settings, s3),
    )
    room = providers.Selector(s.blob_store_kind, disk=blobs, s3=providers.Singleton(UntoldRoom))

    leases = providers.Singleton(SqlLeases, engine)
    rows_over = (
        providers.Singleton(sessions_over, engine),
        providers.Singleton(throttles_over, engine),
        providers.Singleton(answers_over, engine),
        providers.Singleton(SqlLinksOver, engine),
    )
    # What other stores keep ends by itself: in Redis, and in memory.
    expiring = providers.Selector(
        s.blob_store_kind,
        disk=providers.List(*rows_over, blobs),
        s3=providers.List(*rows_over),
    )

    keyring = providers.Singleton(LiveKeyRing, settings)
    cipher = providers.Singleton(ChunkedCipher, entropy)
    hasher = providers.Singleton(
        Argon2idHasher,
        entropy=entropy,
        cost=providers.Factory(
            Argon2Cost,
            memory_kib=s.argon2_memory_kib,
            iterations=s.argon2_iterations,
            lanes=s.argon2_lanes,
        ),
        concurrent=s.hash_concurrency,
        wait_seconds=s.hash_wait_seconds,
    )
    signer = providers.Singleton(JwtSigner, s.secret_key, s.algorithm)
    codes = providers.Singleton(PyotpCodes, entropy=entropy, issuer=s.two_factor_issuer)

    adapters = providers.Singleton(
        Adapters,
        begin=begin,
        sessions=sessions,
        limiter=limiter,
        leases=leases,
        expiring=expiring,
        blobs=blobs,
        room=room,
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
    application = providers.Singleton(application_of, adapters, settings)


def container_of(settings: Settings, *, clock: Clock | None = None) -> Container:
    """
    The object graph of these settings, by this clock or the system's; nothing of it is made yet.
    """
    container = Container(settings=settings)
    if clock is not None:
        container.clock.override(providers.Object(clock))
    return container


def memory_application(clock: Clock | None = None, environ: Mapping[str, str] = _EMPTY) -> Application:
    """
    The application on memory alone, with keys of its own: for trying out, and for tests.
    """
    entropy = SystemEntropy()
    keys = {"SECRET_KEY": entropy.draw(48).hex(), "ENCRYPTION_KEY": base64.b64encode(entropy.draw(32)).decode()}
    settings = Settings.from_env(environ, data_dir=Path("/nonexistent"), secrets=keys)
    container = container_of(settings, clock=clock)
    container.keyring.override(providers.Object(AesKeyRing(settings.encryption_key)))
    container.begin.override(providers.Singleton(MemoryDatabase))
    container.sessions.override(providers.Singleton(MemorySessions))
    container.limiter.override(providers.Singleton(MemoryRateLimiter))
    container.blobs.override(providers.Singleton(MemoryBlobs, now=container.clock().now))
    container.room.override(providers.Singleton(UntoldRoom))
    container.leases.override(providers.Singleton(MemoryLeases))
    container.expiring.override(providers.List(providers.Singleton(MemoryLinksOver, container.begin)))
    # As `bootstrap.prepare` does it: what is stored there is this database's.
    with container.begin()() as unit:
        container.blobs().set_mark(unit.marked.set_mark(uuid.uuid4().hex))
        unit.commit()
    return container.application()
