"""
The use cases on their adapters, built by one function for each group of `Application`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar, cast

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
from sft_core.maintenance.ports import MaintenanceUnit
from sft_core.maintenance.sweep import LeasedSweep, Sweep, SweepPolicy
from sft_core.ports import Clock, Entropy, ExpiringStore, IdGenerator, KeyRing, Leases, RateLimiter, UnitOfWorkFactory
from sft_core.sharing import use_cases as sharing
from sft_core.sharing.ports import SharingUnit
from sft_core.throttle import Throttle
from sft_core.users import use_cases as users
from sft_core.users.model import TokenLifetimes
from sft_core.users.ports import PasswordHasher, QrEncoder, SessionStore, TokenSigner, TotpProvider, UsersUnit
from sft_core.values import Rate
from sft_core.vault import use_cases as vault
from sft_core.vault.model import VaultPolicy
from sft_core.vault.ports import CapacityCheck, ContentCipher, IdentifiedBlobStore
from sft_core.vault.use_cases import append, concatenate, resumable

T = TypeVar("T")


class AnyUnit(SharingUnit, MaintenanceUnit, UsersUnit, Protocol):
    """
    A unit of work over everything.
    """


@attrs.frozen(kw_only=True)
class Adapters:
    """
    Adapters of all ports; `known_keys` are the ids of the keys in `keyring`.
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

    def build(self, use_case: Callable[..., T], **others: object) -> T:
        """
        Build a use case from the adapters that its fields name, and from `others`.
        """
        names = {field.name for field in attrs.fields(Adapters)}
        wanted = {field.alias for field in attrs.fields(cast("type[attrs.AttrsInstance]", use_case))}
        return use_case(**{name: getattr(self, name) for name in names & wanted}, **others)


def build_application(adapters: Adapters, settings: Settings) -> Application:
    """
    Return every use case on these adapters, with the limits of the settings.
    """
    uploads = settings.uploads
    policy = VaultPolicy(
        max_file_size=uploads.max_file_size, allowed_extensions=uploads.allowed_extensions, quota=uploads.quota
    )
    store_part = adapters.build(vault.StorePart, policy=policy, read=adapters.build(vault.ReadFile))
    seal = adapters.build(vault.SealWithinUnit, policy=policy)
    sharing_use_cases = build_sharing(adapters, settings, store_part, seal)
    return Application(
        users=build_users(adapters, settings.security),
        vault=build_vault(adapters, settings, sharing_use_cases.seal_upload),
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
    window = timedelta(minutes=security.attempts_window_minutes)
    totp_throttle = a.build(Throttle, purpose="totp", rate=Rate(security.totp_attempts, window))
    sign_in_throttle = a.build(Throttle, purpose="sign-in", rate=Rate(security.sign_in_attempts, window))
    verify = a.build(users.VerifyToken)
    spend_totp_code = a.build(users.SpendTotpCode, throttle=totp_throttle)
    return UsersUseCases(
        register_user=a.build(users.RegisterUser),
        sign_in=a.build(users.SignIn, lifetimes=lifetimes, spend_totp_code=spend_totp_code, throttle=sign_in_throttle),
        refresh_session=a.build(users.RefreshSession, verify=verify, lifetimes=lifetimes),
        authenticate=a.build(users.Authenticate, verify=verify),
        set_up_totp=a.build(users.SetUpTotp),
        confirm_totp=a.build(users.ConfirmTotp, spend_totp_code=spend_totp_code),
        disable_totp=a.build(users.DisableTotp, spend_totp_code=spend_totp_code),
    )


def build_vault(a: Adapters, settings: Settings, seal_upload: sharing.SealUpload) -> VaultUseCases:
    """
    Return the vault's use cases; `seal_upload` seals resumable uploads and may issue a link.
    """
    store_part, policy, part_size = seal_upload.store_part, seal_upload.store_part.policy, settings.uploads.part_size
    begin_upload = a.build(vault.BeginUpload, policy=policy, part_size=part_size)
    abort = a.build(vault.AbortUpload)
    find = a.build(vault.FindFile)
    delete = a.build(vault.DeleteFile, find=find)
    create = a.build(resumable.CreateUpload, begin_upload=begin_upload)
    find_upload = a.build(resumable.FindUpload, idle=timedelta(seconds=settings.resumable_idle_seconds))
    terminate = a.build(resumable.TerminateUpload, find=find_upload, delete=delete)
    return VaultUseCases(
        begin_upload=begin_upload,
        store_part=store_part,
        abort_upload=abort,
        store_file=a.build(
            vault.StoreFile, begin_upload=begin_upload, store_part=store_part, seal=seal_upload.seal, abort=abort
        ),
        find_file=find,
        list_files=a.build(vault.ListFiles),
        read_file=store_part.read,
        set_expiry=a.build(vault.SetExpiry, find=find),
        delete_file=delete,
        create_upload=create,
        find_upload=find_upload,
        acquire_upload=a.build(append.AcquireUpload, find=find_upload, policy=policy, part_size=part_size),
        finish_upload=a.build(resumable.FinishUpload, find=find_upload, seal=seal_upload),
        terminate_upload=terminate,
        concatenate_uploads=a.build(
            concatenate.ConcatenateUploads,
            create=create,
            find=find_upload,
            read=store_part.read,
            store_part=store_part,
            seal=seal_upload,
            terminate=terminate,
            part_size=part_size,
        ),
    )


def build_sharing(
    a: Adapters, settings: Settings, store_part: vault.StorePart, seal: vault.SealWithinUnit
) -> SharingUseCases:
    """
    Return the use cases of share links and of requests with an idempotency key.
    """
    lifetime = timedelta(hours=settings.uploads.idempotency_hours)
    record_result = a.build(sharing.RecordResult, lifetime=lifetime)
    find_result = a.build(sharing.FindIdempotentResult)
    issue = a.build(
        sharing.IssueShareLink, find=a.build(vault.FindFile), record_result=record_result, find_result=find_result
    )
    find = a.build(sharing.FindSharedFile)
    return SharingUseCases(
        seal_upload=a.build(
            sharing.SealUpload, store_part=store_part, seal=seal, issue=issue, record_result=record_result
        ),
        issue_share_link=issue,
        find_idempotent_result=find_result,
        find_shared_file=find,
        redeem_share_link=a.build(sharing.RedeemShareLink, find=find),
        revoke_share_link=a.build(sharing.RevokeShareLink, find=find),
        summarise_links=a.build(sharing.SummariseLinks),
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
    sweep = a.build(Sweep, policy=policy)
    interval = timedelta(seconds=settings.sweep.interval_seconds)
    return MaintenanceUseCases(
        check_integrity=a.build(
            CheckIntegrity, check_file=a.build(CheckFile), check_records=a.build(CheckRecords), policy=policy
        ),
        sweep=sweep,
        leased_sweep=a.build(LeasedSweep, sweep=sweep, holder=str(a.ids.new()), interval=interval),
    )
