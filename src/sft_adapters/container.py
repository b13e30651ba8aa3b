"""
The composition root: which adapters stand behind which ports. The only module that names them all.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from dependency_injector import containers, providers

from sft_adapters import extras
from sft_adapters.crypto.content import ChunkedCipher
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.crypto.passwords import Argon2Cost, Argon2idHasher
from sft_adapters.crypto.qr import QrPng
from sft_adapters.crypto.tokens import JwtSigner
from sft_adapters.crypto.totp import PyotpCodes
from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.live_ring import LiveKeyRing
from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.leases import MemoryLeases
from sft_adapters.memory.limiter import MemoryRateLimiter
from sft_adapters.memory.room import UntoldRoom
from sft_adapters.memory.sessions import MemorySessions
from sft_adapters.settings import Settings
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import PostgresLimits, open_engine
from sft_adapters.sql.expiring import answers_over, sessions_over, throttles_over
from sft_adapters.sql.leases import SqlLeases
from sft_adapters.sql.limiter import SqlRateLimiter
from sft_adapters.sql.sessions import SqlSessions
from sft_adapters.system import SystemClock, SystemEntropy, Uuid7Ids
from sft_core.application import Application
from sft_core.ports import Clock, Ids
from sft_core.sharing import repeating
from sft_core.sharing import use_cases as sharing
from sft_core.throttle import Throttle
from sft_core.users import use_cases as users
from sft_core.users.model import TokenLifetimes
from sft_core.values import Rate
from sft_core.vault import appending, concatenation, resumable
from sft_core.vault import use_cases as vault
from sft_core.vault.doctor import Examine
from sft_core.vault.examine_parts import ExamineFile
from sft_core.vault.model import VaultPolicy
from sft_core.vault.sweep import Sweep, SweepInTurn, SweepPolicy

_EMPTY: Final[Mapping[str, str]] = {}


def _a_name(ids: Ids) -> str:
    return str(ids.new())


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

    redis = providers.Singleton(extras.redis_client, settings)
    durable_sessions = providers.Singleton(SqlSessions, engine)
    sessions = providers.Selector(
        s.session_store,
        database=durable_sessions,
        redis=providers.Singleton(extras.redis_sessions, settings, redis, durable_sessions, entropy),
        memory=providers.Singleton(MemorySessions),
    )
    durable_limiter = providers.Singleton(SqlRateLimiter, engine)
    limiter = providers.Selector(
        s.limiter_kind,
        database=durable_limiter,
        redis=providers.Singleton(extras.redis_limiter, redis, durable_limiter),
    )

    s3 = providers.Singleton(extras.s3_client, settings)
    blobs = providers.Selector(
        s.blob_store_kind,
        disk=providers.Singleton(DiskBlobs, s.blob_folder, reserve=s.disk_reserve),
        s3=providers.Singleton(extras.s3_blobs, settings, s3),
    )
    room = providers.Selector(s.blob_store_kind, disk=blobs, s3=providers.Singleton(UntoldRoom))

    leases = providers.Singleton(SqlLeases, engine)
    rows_over = (
        providers.Singleton(sessions_over, engine),
        providers.Singleton(throttles_over, engine),
        providers.Singleton(answers_over, engine),
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
    lifetimes = providers.Singleton(
        TokenLifetimes,
        access=providers.Factory(timedelta, minutes=s.access_token_expire_minutes),
        refresh=providers.Factory(timedelta, days=s.refresh_token_expire_days),
    )
    policy = providers.Singleton(
        VaultPolicy,
        max_file_size=s.max_file_size,
        allowed_extensions=s.allowed_extensions,
        quota=s.quota,
    )

    sweep_policy = providers.Singleton(
        SweepPolicy,
        idle=providers.Factory(timedelta, seconds=s.resumable_idle_seconds),
        single_idle=providers.Factory(timedelta, seconds=s.single_idle_seconds),
        grace=providers.Factory(timedelta, hours=s.orphan_grace_hours),
        batch=s.sweep_batch,
    )

    attempts_window = providers.Factory(timedelta, minutes=s.attempts_window_minutes)
    throttle_sign_in = providers.Singleton(
        Throttle,
        limiter=limiter,
        clock=clock,
        purpose="sign-in",
        rate=providers.Factory(Rate, s.sign_in_attempts, attempts_window),
    )
    throttle_totp = providers.Singleton(
        Throttle,
        limiter=limiter,
        clock=clock,
        purpose="totp",
        rate=providers.Factory(Rate, s.totp_attempts, attempts_window),
    )
    spend_totp_code = providers.Singleton(
        users.SpendTotpCode,
        clock=clock,
        keyring=keyring,
        codes=codes,
        throttle=throttle_totp,
    )
    verify_token = providers.Singleton(
        users.VerifyToken,
        begin=begin,
        clock=clock,
        sessions=sessions,
        signer=signer,
    )
    begin_upload = providers.Singleton(
        vault.BeginUpload,
        begin=begin,
        ids=ids,
        clock=clock,
        entropy=entropy,
        keyring=keyring,
        policy=policy,
        room=room,
        part_size=s.part_size,
    )
    store_part = providers.Singleton(
        vault.StorePart,
        begin=begin,
        clock=clock,
        entropy=entropy,
        keyring=keyring,
        cipher=cipher,
        blobs=blobs,
        policy=policy,
    )
    seal_upload = providers.Singleton(vault.SealUpload, begin=begin, store_part=store_part)
    abort_upload = providers.Singleton(vault.AbortUpload, begin=begin, blobs=blobs)
    find_file = providers.Singleton(vault.FindFile, begin=begin)
    issue_share_link = providers.Singleton(
        sharing.IssueShareLink,
        begin=begin,
        ids=ids,
        clock=clock,
        entropy=entropy,
        keyring=keyring,
        find=find_file,
    )
    find_shared_file = providers.Singleton(sharing.FindSharedFile, begin=begin, clock=clock)

    sweep = providers.Singleton(Sweep, begin=begin, clock=clock, blobs=blobs, expiring=expiring, policy=sweep_policy)
    seal_and_share = providers.Singleton(
        sharing.SealAndShare,
        begin=begin,
        seal=seal_upload,
        issue=issue_share_link,
    )
    keep_answer = providers.Singleton(
        repeating.KeepAnswer,
        clock=clock,
        lifetime=providers.Factory(timedelta, hours=s.idempotency_hours),
    )
    find_made = providers.Singleton(repeating.FindMade, begin=begin, clock=clock, keyring=keyring)
    read_file = providers.Singleton(vault.ReadFile, begin=begin, keyring=keyring, cipher=cipher, blobs=blobs)
    delete_file = providers.Singleton(vault.DeleteFile, begin=begin, find=find_file, blobs=blobs)
    find_upload = providers.Singleton(
        resumable.FindUpload,
        begin=begin,
        clock=clock,
        idle=providers.Factory(timedelta, seconds=s.resumable_idle_seconds),
    )
    create_upload = providers.Singleton(
        resumable.CreateUpload,
        begin=begin,
        ids=ids,
        clock=clock,
        entropy=entropy,
        keyring=keyring,
        policy=policy,
        room=room,
    )
    terminate_upload = providers.Singleton(
        resumable.TerminateUpload,
        begin=begin,
        find=find_upload,
        blobs=blobs,
        delete=delete_file,
    )

    application = providers.Singleton(
        Application,
        register_user=providers.Singleton(users.RegisterUser, begin=begin, ids=ids, clock=clock, hasher=hasher),
        sign_in=providers.Singleton(
            users.SignIn,
            begin=begin,
            ids=ids,
            clock=clock,
            hasher=hasher,
            sessions=sessions,
            signer=signer,
            lifetimes=lifetimes,
            spend_totp_code=spend_totp_code,
            throttle=throttle_sign_in,
        ),
        refresh_session=providers.Singleton(
            users.RefreshSession,
            verify=verify_token,
            clock=clock,
            sessions=sessions,
            signer=signer,
            lifetimes=lifetimes,
        ),
        authenticate=providers.Singleton(users.Authenticate, verify=verify_token),
        set_up_totp=providers.Singleton(
            users.SetUpTotp,
            begin=begin,
            keyring=keyring,
            codes=codes,
            qr=providers.Singleton(QrPng),
        ),
        confirm_totp=providers.Singleton(users.ConfirmTotp, begin=begin, spend_totp_code=spend_totp_code),
        disable_totp=providers.Singleton(users.DisableTotp, begin=begin, spend_totp_code=spend_totp_code),
        begin_upload=begin_upload,
        store_part=store_part,
        seal_upload=seal_upload,
        abort_upload=abort_upload,
        store_file=providers.Singleton(
            vault.StoreFile,
            begin_upload=begin_upload,
            store_part=store_part,
            seal=seal_upload,
            abort=abort_upload,
        ),
        find_file=find_file,
        list_files=providers.Singleton(vault.ListFiles, begin=begin),
        read_file=read_file,
        delete_file=delete_file,
        create_upload=create_upload,
        find_upload=find_upload,
        take_upload=providers.Singleton(
            appending.TakeUpload,
            begin=begin,
            find=find_upload,
            keyring=keyring,
            policy=policy,
        ),
        append_bytes=providers.Singleton(
            appending.AppendBytes,
            begin=begin,
            clock=clock,
            entropy=entropy,
            cipher=cipher,
            blobs=blobs,
            policy=policy,
            read=read_file,
            part_size=s.part_size,
        ),
        finish_upload=providers.Singleton(
            resumable.FinishUpload,
            find=find_upload,
            keyring=keyring,
            seal=seal_upload,
            seal_and_share=seal_and_share,
        ),
        terminate_upload=terminate_upload,
        concatenate_uploads=providers.Singleton(
            concatenation.ConcatenateUploads,
            create=create_upload,
            find=find_upload,
            read=read_file,
            store_part=store_part,
            seal=seal_upload,
            seal_and_share=seal_and_share,
            terminate=terminate_upload,
            part_size=s.part_size,
        ),
        issue_share_link=issue_share_link,
        issue_once=providers.Singleton(
            repeating.IssueOnce,
            begin=begin,
            issue=issue_share_link,
            keep=keep_answer,
            find=find_made,
        ),
        seal_and_share=seal_and_share,
        seal_once=providers.Singleton(
            repeating.SealOnce,
            begin=begin,
            seal=seal_upload,
            issue=issue_share_link,
            keep=keep_answer,
        ),
        find_made=find_made,
        find_shared_file=find_shared_file,
        redeem_share_link=providers.Singleton(sharing.RedeemShareLink, begin=begin, clock=clock, find=find_shared_file),
        revoke_share_link=providers.Singleton(sharing.RevokeShareLink, begin=begin, clock=clock, find=find_shared_file),
        summarise_links=providers.Singleton(sharing.SummariseLinks, begin=begin, clock=clock, keyring=keyring),
        examine=providers.Singleton(
            Examine,
            begin=begin,
            clock=clock,
            entropy=entropy,
            examine_file=providers.Singleton(ExamineFile, begin=begin, keyring=keyring, cipher=cipher, blobs=blobs),
            policy=sweep_policy,
            known_keys=keyring.provided.ids,
        ),
        sweep=sweep,
        sweep_in_turn=providers.Singleton(
            SweepInTurn,
            sweep=sweep,
            leases=leases,
            holder=providers.Singleton(_a_name, ids),
            interval=providers.Factory(timedelta, seconds=s.sweep_interval_seconds),
        ),
    )


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
    container.expiring.override(providers.Object(()))
    return container.application()
