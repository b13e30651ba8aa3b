"""
The use cases on their adapters, built by one function for each group of `Application`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import attrs

from sft_adapters.settings import Settings
from sft_adapters.settings.catalogue import SecuritySettings
from sft_core.application import (
    Application,
    MaintenanceUseCases,
    SharingUseCases,
    UsersUseCases,
    VaultUseCases,
)
from sft_core.maintenance.check_files import CheckFile
from sft_core.maintenance.check_records import CheckRecords
from sft_core.maintenance.integrity_check import CheckIntegrity
from sft_core.maintenance.ports import MaintenanceUnit, RowKind
from sft_core.maintenance.sweep import LeasedSweep, Sweep, SweepPolicy
from sft_core.ports import Clock, Entropy, ExpiringStore, IdGenerator, KeyRing, Leases, RateLimiter, UnitOfWorkFactory
from sft_core.sharing import use_cases as sharing
from sft_core.sharing.model import LINK_TOKEN_PURPOSE
from sft_core.sharing.ports import SharingUnit
from sft_core.throttle import Throttle
from sft_core.users import use_cases as users
from sft_core.users.model import TOTP_PURPOSE, TokenLifetimes
from sft_core.users.ports import PasswordHasher, QrEncoder, SessionStore, TokenSigner, TotpProvider, UsersUnit
from sft_core.values import Rate
from sft_core.vault import use_cases as vault
from sft_core.vault.model import VaultPolicy
from sft_core.vault.ports import CapacityCheck, ContentCipher, IdentifiedBlobStore
from sft_core.vault.use_cases import append, concatenate, resumable


class AnyUnit(SharingUnit, MaintenanceUnit, UsersUnit, Protocol):
    """
    A unit of work over everything.
    """


@attrs.frozen(kw_only=True)
class Adapters:
    """
    The adapters of the use cases' ports; `known_keys` are the ids of the keys in `keyring`.
    """

    begin: UnitOfWorkFactory[AnyUnit]
    sessions: SessionStore
    limiter: RateLimiter
    leases: Leases
    expiring: Sequence[ExpiringStore]
    blobs: IdentifiedBlobStore
    capacity: CapacityCheck
    clock: Clock
    entropy: Entropy
    ids: IdGenerator
    keyring: KeyRing
    known_keys: frozenset[str]
    cipher: ContentCipher
    hasher: PasswordHasher
    signer: TokenSigner
    codes: TotpProvider
    qr: QrEncoder


def build_application(adapters: Adapters, settings: Settings) -> Application:
    """
    Return every use case on these adapters, with the limits of the settings.
    """
    store_part = _store_part(adapters, settings)
    sharing_use_cases = build_sharing(adapters, settings, store_part)
    return Application(
        users=build_users(adapters, settings.security),
        vault=build_vault(adapters, settings, store_part, sharing_use_cases.seal_upload),
        sharing=sharing_use_cases,
        maintenance=build_maintenance(adapters, settings),
    )


def build_users(a: Adapters, security: SecuritySettings) -> UsersUseCases:
    """
    Return the use cases of accounts, sessions and second factors.
    """
    lifetimes = TokenLifetimes(
        access=timedelta(minutes=security.access_token_minutes),
        refresh=timedelta(days=security.refresh_token_days),
    )
    verify = users.VerifyToken(begin=a.begin, clock=a.clock, sessions=a.sessions, signer=a.signer)
    spend_totp_code = users.SpendTotpCode(
        clock=a.clock, keyring=a.keyring, codes=a.codes, throttle=_throttle(a, security, "totp", security.totp_attempts)
    )
    return UsersUseCases(
        register_user=users.RegisterUser(begin=a.begin, ids=a.ids, clock=a.clock, hasher=a.hasher),
        sign_in=users.SignIn(
            begin=a.begin,
            ids=a.ids,
            clock=a.clock,
            hasher=a.hasher,
            sessions=a.sessions,
            signer=a.signer,
            lifetimes=lifetimes,
            spend_totp_code=spend_totp_code,
            throttle=_throttle(a, security, "sign-in", security.sign_in_attempts),
        ),
        refresh_session=users.RefreshSession(
            verify=verify, clock=a.clock, sessions=a.sessions, signer=a.signer, lifetimes=lifetimes
        ),
        authenticate=users.Authenticate(verify=verify),
        set_up_totp=users.SetUpTotp(begin=a.begin, keyring=a.keyring, codes=a.codes, qr=a.qr),
        confirm_totp=users.ConfirmTotp(begin=a.begin, spend_totp_code=spend_totp_code),
        disable_totp=users.DisableTotp(begin=a.begin, spend_totp_code=spend_totp_code),
    )


def build_vault(
    a: Adapters, settings: Settings, store_part: vault.StorePart, seal_upload: sharing.SealUpload
) -> VaultUseCases:
    """
    Return the use cases of files and uploads; resumable uploads are sealed by `seal_upload`, which may issue a link.
    """
    part_size = settings.uploads.part_size
    begin_upload = _begin_upload(a, settings)
    create = resumable.CreateUpload(begin_upload=begin_upload)
    abort = vault.AbortUpload(begin=a.begin, clock=a.clock, blobs=a.blobs)
    find = vault.FindFile(begin=a.begin, clock=a.clock)
    delete = vault.DeleteFile(begin=a.begin, clock=a.clock, find=find, blobs=a.blobs)
    idle = timedelta(seconds=settings.resumable_idle_seconds)
    find_upload = resumable.FindUpload(begin=a.begin, clock=a.clock, idle=idle)
    terminate = resumable.TerminateUpload(find=find_upload, delete=delete)
    return VaultUseCases(
        begin_upload=begin_upload,
        store_part=store_part,
        abort_upload=abort,
        store_file=vault.StoreFile(
            begin=a.begin,
            begin_upload=begin_upload,
            store_part=store_part,
            seal=_seal_within_unit(a, settings),
            abort=abort,
        ),
        find_file=find,
        list_files=vault.ListFiles(begin=a.begin, clock=a.clock),
        read_file=store_part.read,
        set_expiry=vault.SetExpiry(begin=a.begin, clock=a.clock, find=find),
        delete_file=delete,
        create_upload=create,
        find_upload=find_upload,
        acquire_upload=append.AcquireUpload(
            begin=a.begin, find=find_upload, keyring=a.keyring, policy=_policy(settings), part_size=part_size
        ),
        finish_upload=resumable.FinishUpload(find=find_upload, keyring=a.keyring, seal=seal_upload),
        terminate_upload=terminate,
        concatenate_uploads=concatenate.ConcatenateUploads(
            create=create,
            find=find_upload,
            read=store_part.read,
            store_part=store_part,
            seal=seal_upload,
            terminate=terminate,
            part_size=part_size,
        ),
    )


def build_sharing(a: Adapters, settings: Settings, store_part: vault.StorePart) -> SharingUseCases:
    """
    Return the use cases of share links and of requests with an idempotency key.
    """
    lifetime = timedelta(hours=settings.uploads.idempotency_hours)
    record_result = sharing.RecordResult(clock=a.clock, lifetime=lifetime)
    find_result = sharing.FindIdempotentResult(begin=a.begin, clock=a.clock, keyring=a.keyring)
    issue = sharing.IssueShareLink(
        begin=a.begin,
        ids=a.ids,
        clock=a.clock,
        entropy=a.entropy,
        keyring=a.keyring,
        find=vault.FindFile(begin=a.begin, clock=a.clock),
        record_result=record_result,
        find_result=find_result,
    )
    find = sharing.FindSharedFile(begin=a.begin, clock=a.clock)
    return SharingUseCases(
        seal_upload=sharing.SealUpload(
            begin=a.begin,
            store_part=store_part,
            seal=_seal_within_unit(a, settings),
            issue=issue,
            record_result=record_result,
        ),
        issue_share_link=issue,
        find_idempotent_result=find_result,
        find_shared_file=find,
        redeem_share_link=sharing.RedeemShareLink(begin=a.begin, clock=a.clock, find=find),
        revoke_share_link=sharing.RevokeShareLink(begin=a.begin, clock=a.clock, find=find),
        summarise_links=sharing.SummariseLinks(begin=a.begin, clock=a.clock, keyring=a.keyring),
    )


def build_maintenance(a: Adapters, settings: Settings) -> MaintenanceUseCases:
    """
    Return the sweep, by itself and under a lease, and the integrity check.
    """
    policy = SweepPolicy(
        idle=timedelta(seconds=settings.resumable_idle_seconds),
        non_resumable_idle=timedelta(seconds=settings.non_resumable_idle_seconds),
        expiry_grace=timedelta(minutes=settings.sweep.expiry_grace_minutes),
        orphan_grace=timedelta(hours=settings.sweep.orphan_grace_hours),
        batch_size=settings.sweep.batch,
    )
    sweep = Sweep(begin=a.begin, clock=a.clock, blobs=a.blobs, expiring=a.expiring, policy=policy)
    purposes = {RowKind.LINK: LINK_TOKEN_PURPOSE, RowKind.USER: TOTP_PURPOSE}
    return MaintenanceUseCases(
        check_integrity=CheckIntegrity(
            begin=a.begin,
            clock=a.clock,
            entropy=a.entropy,
            check_file=CheckFile(begin=a.begin, keyring=a.keyring, cipher=a.cipher, blobs=a.blobs),
            check_records=CheckRecords(begin=a.begin, keyring=a.keyring, purposes=purposes),
            policy=policy,
            known_keys=a.known_keys,
        ),
        sweep=sweep,
        leased_sweep=LeasedSweep(
            sweep=sweep,
            leases=a.leases,
            holder=str(a.ids.new()),
            interval=timedelta(seconds=settings.sweep.interval_seconds),
        ),
    )


def _policy(settings: Settings) -> VaultPolicy:
    uploads = settings.uploads
    return VaultPolicy(
        max_file_size=uploads.max_file_size, allowed_extensions=uploads.allowed_extensions, quota=uploads.quota
    )


def _begin_upload(a: Adapters, settings: Settings) -> vault.BeginUpload:
    return vault.BeginUpload(
        begin=a.begin,
        ids=a.ids,
        clock=a.clock,
        entropy=a.entropy,
        keyring=a.keyring,
        policy=_policy(settings),
        capacity=a.capacity,
        part_size=settings.uploads.part_size,
    )


def _store_part(a: Adapters, settings: Settings) -> vault.StorePart:
    return vault.StorePart(
        begin=a.begin,
        clock=a.clock,
        entropy=a.entropy,
        keyring=a.keyring,
        cipher=a.cipher,
        blobs=a.blobs,
        policy=_policy(settings),
        read=vault.ReadFile(begin=a.begin, keyring=a.keyring, cipher=a.cipher, blobs=a.blobs),
    )


def _seal_within_unit(a: Adapters, settings: Settings) -> vault.SealWithinUnit:
    return vault.SealWithinUnit(keyring=a.keyring, policy=_policy(settings))


def _throttle(a: Adapters, security: SecuritySettings, purpose: str, attempts: int) -> Throttle:
    window = timedelta(minutes=security.attempts_window_minutes)
    return Throttle(limiter=a.limiter, clock=a.clock, purpose=purpose, rate=Rate(attempts, window))
