"""
The library in one object: every use case, wired. `sft_adapters.bootstrap.use_cases` builds it.
"""

from __future__ import annotations

import attrs

from sft_core.maintenance.integrity_check import CheckIntegrity
from sft_core.maintenance.sweep import LeasedSweep, Sweep
from sft_core.sharing.use_cases import (
    FindIdempotentResult,
    FindSharedFile,
    IssueShareLink,
    RedeemShareLink,
    RevokeShareLink,
    SealUpload,
    SummariseLinks,
)
from sft_core.users.use_cases import (
    Authenticate,
    ConfirmTotp,
    DisableTotp,
    RefreshSession,
    RegisterUser,
    SetUpTotp,
    SignIn,
)
from sft_core.vault.use_cases import (
    AbortUpload,
    BeginUpload,
    DeleteFile,
    FindFile,
    ListFiles,
    ReadFile,
    SetExpiry,
    StoreFile,
    StorePart,
)
from sft_core.vault.use_cases.append import AcquireUpload
from sft_core.vault.use_cases.concatenate import ConcatenateUploads
from sft_core.vault.use_cases.resumable import CreateUpload, FindUpload, FinishUpload, TerminateUpload


@attrs.frozen(kw_only=True)
class UsersUseCases:
    """
    Accounts, sign-in, sessions and second factors.
    """

    register_user: RegisterUser
    sign_in: SignIn
    refresh_session: RefreshSession
    authenticate: Authenticate
    set_up_totp: SetUpTotp
    confirm_totp: ConfirmTotp
    disable_totp: DisableTotp


@attrs.frozen(kw_only=True)
class VaultUseCases:
    """
    Files and uploads, resumable ones included.
    """

    begin_upload: BeginUpload
    store_part: StorePart
    abort_upload: AbortUpload
    store_file: StoreFile
    find_file: FindFile
    list_files: ListFiles
    read_file: ReadFile
    set_expiry: SetExpiry
    delete_file: DeleteFile

    create_upload: CreateUpload
    find_upload: FindUpload
    acquire_upload: AcquireUpload
    finish_upload: FinishUpload
    terminate_upload: TerminateUpload
    concatenate_uploads: ConcatenateUploads


@attrs.frozen(kw_only=True)
class SharingUseCases:
    """
    Share links, the seal that may issue one, and idempotent requests.
    """

    seal_upload: SealUpload
    issue_share_link: IssueShareLink
    find_idempotent_result: FindIdempotentResult
    find_shared_file: FindSharedFile
    redeem_share_link: RedeemShareLink
    revoke_share_link: RevokeShareLink
    summarise_links: SummariseLinks


@attrs.frozen(kw_only=True)
class MaintenanceUseCases:
    """
    The sweep and the integrity check.
    """

    check_integrity: CheckIntegrity
    sweep: Sweep
    leased_sweep: LeasedSweep


@attrs.frozen(kw_only=True)
class Application:
    """
    Every use case, by the nouns of the product and what operators run.
    """

    users: UsersUseCases
    vault: VaultUseCases
    sharing: SharingUseCases
    maintenance: MaintenanceUseCases
