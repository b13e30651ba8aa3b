"""
The use cases on their adapters: plain calls, whatever stands behind the ports.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import attrs

from sft_adapters.settings import Settings
from sft_core.application import Application
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
    What stands behind the ports of the use cases; `known_keys` are those that `keyring` holds.
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
    Every use case on these adapters, with the limits that the settings say.
    """
    begin, clock, entropy, ids = adapters.begin, adapters.clock, adapters.entropy, adapters.ids
    keyring, sessions, signer = adapters.keyring, adapters.sessions, adapters.signer
    blobs, cipher = adapters.blobs, adapters.cipher
    part_size = settings.uploads.part_size
    policy = VaultPolicy(
        max_file_size=settings.uploads.max_file_size,
        allowed_extensions=settings.uploads.allowed_extensions,
        quota=settings.uploads.quota,
    )

    # --- users -----------------------------------------------------------------------------------

    lifetimes = TokenLifetimes(
        access=timedelta(minutes=settings.security.access_token_minutes),
        refresh=timedelta(days=settings.security.refresh_token_days),
    )
    spend_totp_code = users.SpendTotpCode(
        clock=clock,
        keyring=keyring,
        codes=adapters.codes,
        throttle=_throttle(adapters, settings, "totp", settings.security.totp_attempts),
    )
    verify_token = users.VerifyToken(begin=begin, clock=clock, sessions=sessions, signer=signer)

    # --- vault -----------------------------------------------------------------------------------

    begin_upload = vault.BeginUpload(
        begin=begin,
        ids=ids,
        clock=clock,
        entropy=entropy,
        keyring=keyring,
        policy=policy,
        capacity=adapters.capacity,
        part_size=part_size,
    )
    read_file = vault.ReadFile(begin=begin, keyring=keyring, cipher=cipher, blobs=blobs)
    store_part = vault.StorePart(
        begin=begin,
        clock=clock,
        entropy=entropy,
        keyring=keyring,
        cipher=cipher,
        blobs=blobs,
        policy=policy,
        read=read_file,
    )
    seal_within_unit = vault.SealWithinUnit(keyring=keyring, policy=policy)
    abort_upload = vault.AbortUpload(begin=begin, clock=clock, blobs=blobs)
    find_file = vault.FindFile(begin=begin, clock=clock)
    delete_file = vault.DeleteFile(begin=begin, clock=clock, find=find_file, blobs=blobs)

    # --- sharing ---------------------------------------------------------------------------------

    record_result = sharing.RecordResult(clock=clock, lifetime=timedelta(hours=settings.uploads.idempotency_hours))
    find_idempotent_result = sharing.FindIdempotentResult(begin=begin, clock=clock, keyring=keyring)
    issue_share_link = sharing.IssueShareLink(
        begin=begin,
        ids=ids,
        clock=clock,
        entropy=entropy,
        keyring=keyring,
        find=find_file,
        record_result=record_result,
        find_result=find_idempotent_result,
    )
    seal_upload = sharing.SealUpload(
        begin=begin,
        store_part=store_part,
        seal=seal_within_unit,
        issue=issue_share_link,
        record_result=record_result,
    )
    find_shared_file = sharing.FindSharedFile(begin=begin, clock=clock)

    # --- resumable uploads ----------------------------------------------------------------------

    create_upload = resumable.CreateUpload(
        begin=begin,
        ids=ids,
        clock=clock,
        entropy=entropy,
        keyring=keyring,
        policy=policy,
        capacity=adapters.capacity,
    )
    idle = timedelta(seconds=settings.resumable_idle_seconds)
    find_upload = resumable.FindUpload(begin=begin, clock=clock, idle=idle)
    terminate_upload = resumable.TerminateUpload(
        begin=begin, clock=clock, find=find_upload, blobs=blobs, delete=delete_file
    )

    # --- upkeep ----------------------------------------------------------------------------------

    sweep_policy = SweepPolicy(
        idle=idle,
        non_resumable_idle=timedelta(seconds=settings.non_resumable_idle_seconds),
        expiry_grace=timedelta(minutes=settings.sweep.expiry_grace_minutes),
        orphan_grace=timedelta(hours=settings.sweep.orphan_grace_hours),
        batch_size=settings.sweep.batch,
    )
    sweep = Sweep(begin=begin, clock=clock, blobs=blobs, expiring=adapters.expiring, policy=sweep_policy)

    return Application(
        register_user=users.RegisterUser(begin=begin, ids=ids, clock=clock, hasher=adapters.hasher),
        sign_in=users.SignIn(
            begin=begin,
            ids=ids,
            clock=clock,
            hasher=adapters.hasher,
            sessions=sessions,
            signer=signer,
            lifetimes=lifetimes,
            spend_totp_code=spend_totp_code,
            throttle=_throttle(adapters, settings, "sign-in", settings.security.sign_in_attempts),
        ),
        refresh_session=users.RefreshSession(
            verify=verify_token,
            clock=clock,
            sessions=sessions,
            signer=signer,
            lifetimes=lifetimes,
        ),
        authenticate=users.Authenticate(verify=verify_token),
        set_up_totp=users.SetUpTotp(begin=begin, keyring=keyring, codes=adapters.codes, qr=adapters.qr),
        confirm_totp=users.ConfirmTotp(begin=begin, spend_totp_code=spend_totp_code),
        disable_totp=users.DisableTotp(begin=begin, spend_totp_code=spend_totp_code),
        begin_upload=begin_upload,
        store_part=store_part,
        abort_upload=abort_upload,
        store_file=vault.StoreFile(
            begin=begin,
            begin_upload=begin_upload,
            store_part=store_part,
            seal=seal_within_unit,
            abort=abort_upload,
        ),
        find_file=find_file,
        list_files=vault.ListFiles(begin=begin, clock=clock),
        read_file=read_file,
        set_expiry=vault.SetExpiry(begin=begin, clock=clock, find=find_file),
        delete_file=delete_file,
        create_upload=create_upload,
        find_upload=find_upload,
        acquire_upload=append.AcquireUpload(
            begin=begin, find=find_upload, keyring=keyring, policy=policy, part_size=part_size
        ),
        finish_upload=resumable.FinishUpload(find=find_upload, keyring=keyring, seal=seal_upload),
        terminate_upload=terminate_upload,
        concatenate_uploads=concatenate.ConcatenateUploads(
            create=create_upload,
            find=find_upload,
            read=read_file,
            store_part=store_part,
            seal=seal_upload,
            terminate=terminate_upload,
            part_size=part_size,
        ),
        seal_upload=seal_upload,
        issue_share_link=issue_share_link,
        find_idempotent_result=find_idempotent_result,
        find_shared_file=find_shared_file,
        redeem_share_link=sharing.RedeemShareLink(begin=begin, clock=clock, find=find_shared_file),
        revoke_share_link=sharing.RevokeShareLink(begin=begin, clock=clock, find=find_shared_file),
        summarise_links=sharing.SummariseLinks(begin=begin, clock=clock, keyring=keyring),
        check_integrity=CheckIntegrity(
            begin=begin,
            clock=clock,
            entropy=entropy,
            check_file=CheckFile(begin=begin, keyring=keyring, cipher=cipher, blobs=blobs),
            check_records=CheckRecords(
                begin=begin,
                keyring=keyring,
                purposes={RowKind.LINK: LINK_TOKEN_PURPOSE, RowKind.USER: TOTP_PURPOSE},
            ),
            policy=sweep_policy,
            known_keys=adapters.known_keys,
        ),
        sweep=sweep,
        leased_sweep=LeasedSweep(
            sweep=sweep,
            leases=adapters.leases,
            holder=str(ids.new()),
            interval=timedelta(seconds=settings.sweep.interval_seconds),
        ),
    )


def _throttle(adapters: Adapters, settings: Settings, purpose: str, attempts: int) -> Throttle:
    window = timedelta(minutes=settings.security.attempts_window_minutes)
    return Throttle(limiter=adapters.limiter, clock=adapters.clock, purpose=purpose, rate=Rate(attempts, window))
