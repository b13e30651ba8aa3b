"""
The library in one object: every use case, wired. `sft_adapters.bootstrap.use_cases` builds it.
"""

from __future__ import annotations

import attrs

from sft_core.maintenance.integrity_check import CheckIntegrity
from sft_core.maintenance.sweep import LeasedSweep, Sweep
from sft_core.sharing import use_cases as sharing
from sft_core.users import use_cases as users
from sft_core.vault import use_cases as vault
from sft_core.vault.use_cases import append, concatenate, resumable


@attrs.frozen(kw_only=True)
class UsersUseCases:
    """
    Accounts, sign-in, sessions and second factors.
    """

    register_user: users.RegisterUser
    sign_in: users.SignIn
    refresh_session: users.RefreshSession
    authenticate: users.Authenticate
    set_up_totp: users.SetUpTotp
    confirm_totp: users.ConfirmTotp
    disable_totp: users.DisableTotp


@attrs.frozen(kw_only=True)
class VaultUseCases:
    """
    Files and uploads, resumable ones included.
    """

    begin_upload: vault.BeginUpload
    store_part: vault.StorePart
    abort_upload: vault.AbortUpload
    store_file: vault.StoreFile
    find_file: vault.FindFile
    list_files: vault.ListFiles
    read_file: vault.ReadFile
    set_expiry: vault.SetExpiry
    delete_file: vault.DeleteFile

    create_upload: resumable.CreateUpload
    find_upload: resumable.FindUpload
    acquire_upload: append.AcquireUpload
    finish_upload: resumable.FinishUpload
    terminate_upload: resumable.TerminateUpload
    concatenate_uploads: concatenate.ConcatenateUploads


@attrs.frozen(kw_only=True)
class SharingUseCases:
    """
    Share links, the seal that may issue one, and idempotent requests.
    """

    seal_upload: sharing.SealUpload
    issue_share_link: sharing.IssueShareLink
    find_idempotent_result: sharing.FindIdempotentResult
    find_shared_file: sharing.FindSharedFile
    redeem_share_link: sharing.RedeemShareLink
    revoke_share_link: sharing.RevokeShareLink
    summarise_links: sharing.SummariseLinks


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
