"""
Each planted bug is rejected by exactly the contract tests listed for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import attrs
import pytest

from harness.clauses import broken_clauses, clauses_of
from harness.planted import (
    blobs,
    crypto,
    idempotency,
    links,
    maintenance,
    quotas,
    rate_limiter,
    retention,
    rows,
    uploads,
    wrapped_secrets,
)
from harness.planted.rows import With
from sft_adapters.crypto.content import ChunkedCipher
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.crypto.passwords import Argon2Cost, Argon2idHasher
from sft_adapters.crypto.tokens import JwtSigner
from sft_adapters.crypto.totp import PyotpProvider
from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.integrity import IntegrityRows
from sft_adapters.memory.leases import MemoryLeases
from sft_adapters.memory.maintenance import Inventory, QuotaAudit, ReclaimableFiles, StoreIdentity
from sft_adapters.memory.rate_limiter import MemoryRateLimiter
from sft_adapters.memory.retention import MemoryExpiredLinkTokens
from sft_adapters.memory.sessions import MemorySessions
from sft_adapters.memory.tables import Files, IdempotencyRecords, Links, Manifests, Quotas, ResumableUploads, Users
from sft_adapters.memory.wrapped_secrets import MemoryWrappedSecrets
from sft_adapters.system import SystemClock, SystemEntropy, Uuid7Generator
from sft_adapters.testkit import contracts
from sft_adapters.testkit.contracts.examples import a_user
from sft_core.values import Secret


class BlobsWithoutConditionalWritesContract(contracts.BlobStoreContract):
    """
    The contract for a store without conditional writes.
    """

    creates_atomically = False


KEYS = [Secret(bytes([number]) * 32) for number in range(2)]
SECRETS = [Secret(bytes([number]) * 64) for number in range(2)]
ENTROPY = SystemEntropy()
ISSUER = "Secure File Transfer"

Kind = Callable[..., Any]
Make = Callable[[Kind], dict[str, object]]


def wrapped_in(database: Any, kind: Kind) -> dict[str, object]:
    return {"database": database, "wrapped": kind(getattr(database, "begin", database))}


def expired_link_tokens_in(database: MemoryDatabase, kind: Kind) -> dict[str, object]:
    return {"database": database, "expired_link_tokens": kind(database)}


def beside_broken_files(kind: Kind) -> dict[str, object]:
    return wrapped_in(With("files", kind), MemoryWrappedSecrets)


def shared(name: str, instance: object, other: object | None = None) -> dict[str, object]:
    """
    Return a contract's fixtures for two instances, by default the same one.
    """
    return {name: instance, f"other_{name}": instance if other is None else other}


def on_one(data: object, name: str, kind: Kind) -> dict[str, object]:
    """
    Return two instances on one store's data.
    """
    return shared(name, kind(data), kind(data))


MAKE: dict[type, Make] = {
    contracts.UnitOfWorkContract: lambda kind: {"database": kind()},
    contracts.UserRepositoryContract: lambda kind: {"database": With("users", kind)},
    contracts.FileRepositoryContract: lambda kind: {"database": With("files", kind)},
    contracts.ManifestsContract: lambda kind: {"database": With("manifests", kind)},
    contracts.ResumableUploadsContract: lambda kind: {"database": With("uploads", kind)},
    contracts.QuotaContract: lambda kind: {"database": With("quotas", kind)},
    contracts.ReclaimableFilesContract: lambda kind: {"database": With("reclaimable", kind)},
    contracts.StoreIdentityContract: lambda kind: {"database": With("store_identity", kind)},
    contracts.IdentifiedBlobStoreContract: lambda kind: shared("blobs", kind()),
    contracts.InventoryContract: lambda kind: {"database": With("inventory", kind)},
    contracts.QuotaAuditContract: lambda kind: {"database": With("quota_audit", kind)},
    contracts.IntegrityRowsContract: lambda kind: {"database": With("integrity_rows", kind)},
    contracts.LeasesContract: lambda kind: {"leases": kind()},
    contracts.LinkRepositoryContract: lambda kind: {"database": With("links", kind)},
    contracts.IdempotencyRecordsContract: lambda kind: {"database": With("idempotency_records", kind)},
    contracts.WrappedSecretsContract: lambda kind: wrapped_in(MemoryDatabase(), kind),
    contracts.ExpiredLinkTokensContract: lambda kind: expired_link_tokens_in(MemoryDatabase(), kind),
    contracts.SessionStoreContract: lambda kind: shared("sessions", kind()) | {"user": a_user()},
    contracts.RateLimiterContract: lambda kind: shared("limiter", kind()),
    contracts.BlobStoreContract: lambda kind: shared("blobs", kind()),
    BlobsWithoutConditionalWritesContract: lambda kind: shared("blobs", kind()),
    contracts.KeyRingContract: lambda kind: {"keyring": kind(KEYS[0]), "other_keyring": kind(KEYS[1])},
    contracts.PasswordHasherContract: lambda kind: {"hasher": kind(entropy=ENTROPY, cost=Argon2Cost(memory_kib=1024))},
    contracts.TokenSignerContract: lambda kind: {"signer": kind(SECRETS[0]), "other_signer": kind(SECRETS[1])},
    contracts.TotpProviderContract: lambda kind: {"codes": kind(ENTROPY, ISSUER)},
    contracts.ContentCipherContract: lambda kind: {"cipher": kind(ENTROPY)},
    contracts.PartReaderContract: lambda kind: {"cipher": kind(ENTROPY)},
    contracts.ClockContract: lambda kind: {"clock": kind()},
    contracts.EntropyContract: lambda kind: {"entropy": kind()},
    contracts.IdGeneratorContract: lambda kind: {"ids": kind()},
}
"""Functions that create a contract's fixtures from one type of adapter."""

SOUND: dict[type, Kind] = {
    contracts.UnitOfWorkContract: MemoryDatabase,
    contracts.UserRepositoryContract: Users,
    contracts.FileRepositoryContract: Files,
    contracts.ManifestsContract: Manifests,
    contracts.ResumableUploadsContract: ResumableUploads,
    contracts.QuotaContract: Quotas,
    contracts.ReclaimableFilesContract: ReclaimableFiles,
    contracts.StoreIdentityContract: StoreIdentity,
    contracts.IdentifiedBlobStoreContract: MemoryBlobs,
    contracts.InventoryContract: Inventory,
    contracts.QuotaAuditContract: QuotaAudit,
    contracts.IntegrityRowsContract: IntegrityRows,
    contracts.LeasesContract: MemoryLeases,
    contracts.LinkRepositoryContract: Links,
    contracts.IdempotencyRecordsContract: IdempotencyRecords,
    contracts.WrappedSecretsContract: MemoryWrappedSecrets,
    contracts.ExpiredLinkTokensContract: MemoryExpiredLinkTokens,
    contracts.SessionStoreContract: MemorySessions,
    contracts.RateLimiterContract: MemoryRateLimiter,
    contracts.BlobStoreContract: MemoryBlobs,
    BlobsWithoutConditionalWritesContract: blobs.ChecksThenPuts,
    contracts.KeyRingContract: AesKeyRing,
    contracts.PasswordHasherContract: Argon2idHasher,
    contracts.TokenSignerContract: JwtSigner,
    contracts.TotpProviderContract: PyotpProvider,
    contracts.ContentCipherContract: ChunkedCipher,
    contracts.PartReaderContract: ChunkedCipher,
    contracts.ClockContract: SystemClock,
    contracts.EntropyContract: SystemEntropy,
    contracts.IdGeneratorContract: lambda: Uuid7Generator(SystemClock(), ENTROPY),
}
"""Correct adapters, which the bugs are planted in; one without a quality where its absence is declared."""


DRAWN = {
    "test_any_history_matches_the_leaky_bucket",
    "test_concurrent_expire_and_new_expiry_one_succeeds",
}
"""Tests whose result for a bug depends on drawn values or on the order of threads; they are not run."""


@attrs.frozen
class Bug:
    """
    A broken adapter, its contract, and the tests that must fail.

    The first test names the bug.
    """

    contract: type
    kind: Kind
    clauses: tuple[str, ...]
    make: Make

    def __str__(self) -> str:
        return f"{self.kind.__name__}-{self.contract.__name__}"


def rejected(contract: type, kind: Kind, *clauses: str, make: Make | None = None) -> Bug:
    return Bug(contract, kind, clauses, make or MAKE[contract])


BUGS = [
    rejected(contracts.UnitOfWorkContract, rows.CommitsOnLeaving, "test_leaving_without_commit_rolls_back"),
    rejected(contracts.UnitOfWorkContract, rows.DirtyReads, "test_uncommitted_changes_are_invisible_to_others"),
    rejected(contracts.UnitOfWorkContract, rows.ReadsThenWrites, "test_concurrent_conflicting_saves_lose_no_change"),
    rejected(
        contracts.UnitOfWorkContract, rows.WritesInReadOnlyUnits, "test_read_only_unit_refuses_changes_and_commit"
    ),
    rejected(contracts.UnitOfWorkContract, rows.SwallowsTheSecondCommit, "test_unit_after_its_commit_is_closed"),
    rejected(
        contracts.UserRepositoryContract,
        rows.IgnoresTheRevision,
        "test_save_outdated_revision_is_conflict",
        "test_save_after_sign_in_keeps_step_spent",
    ),
    rejected(contracts.UserRepositoryContract, rows.ComparesNamesAsTyped, "test_add_taken_address_or_name_is_refused"),
    rejected(
        contracts.UserRepositoryContract,
        rows.SpendsAStepAgain,
        "test_concurrent_sign_ins_with_one_step_one_succeeds",
        "test_save_after_sign_in_keeps_step_spent",
        "test_invalid_sign_in_changes_nothing",
    ),
    rejected(
        contracts.UserRepositoryContract,
        rows.SignsInInactiveUsers,
        "test_invalid_sign_in_changes_nothing",
    ),
    rejected(contracts.FileRepositoryContract, rows.ReplacesExistingFiles, "test_add_existing_id_is_conflict"),
    rejected(
        contracts.FileRepositoryContract,
        rows.ListsOldestFirst,
        "test_list_sealed_returns_own_sealed_files_newest_first",
        "test_list_sealed_omits_expired_files",
    ),
    rejected(
        contracts.FileRepositoryContract,
        rows.ListsEveryOwnersFiles,
        "test_list_sealed_returns_own_sealed_files_newest_first",
    ),
    rejected(contracts.FileRepositoryContract, rows.ListsExpiredFiles, "test_list_sealed_omits_expired_files"),
    rejected(
        contracts.FileRepositoryContract,
        rows.ListsUnsealedFiles,
        "test_list_sealed_returns_own_sealed_files_newest_first",
    ),
    rejected(
        contracts.FileRepositoryContract,
        rows.ReplacesInAnyState,
        "test_replace_requires_the_expected_state",
        "test_concurrent_state_changes_one_succeeds",
        "test_replace_moves_touched_at_while_receiving_only",
    ),
    rejected(contracts.FileRepositoryContract, rows.LosesTheDeletion, "test_replace_requires_the_expected_state"),
    rejected(
        contracts.FileRepositoryContract,
        rows.RemovesSealedFiles,
        "test_remove_applies_to_aborting_and_deleting_files_only",
    ),
    rejected(
        contracts.FileRepositoryContract,
        rows.LosesTouchedAt,
        "test_replace_moves_touched_at_while_receiving_only",
        "test_replace_outdated_read_keeps_later_touched_at",
    ),
    rejected(
        contracts.ManifestsContract,
        rows.MissesAnOverlappingPart,
        "test_covering_returns_the_parts_overlapping_the_span",
    ),
    rejected(contracts.ManifestsContract, rows.ReplacesExistingParts, "test_append_existing_number_is_conflict"),
    rejected(
        contracts.ManifestsContract,
        uploads.ReturnsTheFirstParts,
        "test_tail_returns_the_last_parts",
        "test_truncate_removes_the_parts_from_a_number_on",
    ),
    rejected(
        contracts.ManifestsContract, uploads.TruncatesOnePartLate, "test_truncate_removes_the_parts_from_a_number_on"
    ),
    rejected(
        contracts.ResumableUploadsContract,
        uploads.IgnoresTheFencingToken,
        "test_latest_acquire_is_the_current_writer",
        "test_concurrent_acquires_one_token_is_current",
    ),
    rejected(
        contracts.ResumableUploadsContract,
        uploads.ReusesTheFencingToken,
        "test_latest_acquire_is_the_current_writer",
        "test_concurrent_acquires_one_token_is_current",
    ),
    rejected(contracts.ResumableUploadsContract, uploads.SetsTheLengthAgain, "test_set_length_succeeds_once"),
    rejected(contracts.ResumableUploadsContract, uploads.TreatsZeroAsUnset, "test_set_length_succeeds_once"),
    rejected(contracts.ResumableUploadsContract, uploads.LosesSources, "test_upload_round_trip_keeps_every_field"),
    rejected(
        contracts.ResumableUploadsContract, uploads.ReplacesTheUpload, "test_add_second_upload_of_a_file_is_conflict"
    ),
    rejected(
        contracts.IdempotencyRecordsContract,
        idempotency.ReplacesRecords,
        "test_add_under_a_used_key_is_refused",
        "test_concurrent_adds_of_one_key_one_succeeds",
        "test_record_before_expiry_is_found",
    ),
    rejected(
        contracts.IdempotencyRecordsContract,
        idempotency.IgnoresConflicts,
        "test_add_under_a_used_key_is_refused",
        "test_uncommitted_record_leaves_the_key_free",
        "test_concurrent_adds_of_one_key_one_succeeds",
        "test_record_before_expiry_is_found",
    ),
    rejected(
        contracts.IdempotencyRecordsContract, idempotency.NeverExpires, "test_expired_record_is_absent_and_replaced"
    ),
    rejected(
        contracts.IdempotencyRecordsContract,
        idempotency.BlocksExpiredKeys,
        "test_expired_record_is_absent_and_replaced",
    ),
    rejected(
        contracts.IdempotencyRecordsContract,
        idempotency.ExpiresASecondEarly,
        "test_record_before_expiry_is_found",
        "test_expired_record_is_absent_and_replaced",
    ),
    rejected(
        contracts.IdempotencyRecordsContract,
        idempotency.DropsTheTokenDigest,
        "test_record_round_trip_keeps_every_field",
        "test_expired_record_is_absent_and_replaced",
    ),
    rejected(
        contracts.IdempotencyRecordsContract,
        idempotency.ReadsThenAdds,
        "test_concurrent_adds_of_one_key_one_succeeds",
        make=lambda kind: {"database": kind()},
    ),
    rejected(
        contracts.IdempotencyRecordsContract,
        idempotency.RemovesTheRecordWithTheFile,
        "test_record_outlives_its_file",
        make=lambda kind: {"database": With("files", kind)},
    ),
    rejected(
        contracts.QuotaContract,
        quotas.ReadsThenReserves,
        "test_concurrent_reserves_admit_exactly_what_fits",
        "test_concurrent_abort_and_reserves_leak_nothing",
        "test_concurrent_releases_free_once",
        make=MAKE[contracts.UnitOfWorkContract],
    ),
    rejected(
        contracts.QuotaContract,
        quotas.IgnoresTheLimit,
        "test_reserve_is_exact_at_the_limit",
        "test_reserve_more_than_the_limit_is_refused",
        "test_concurrent_reserves_admit_exactly_what_fits",
        "test_quotas_of_different_owners_are_independent",
        "test_reserve_less_than_before_always_succeeds",
        "test_reserve_without_limit_is_counted",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.IgnoresTheLimitOnGrowth,
        "test_reserve_more_than_the_limit_is_refused",
        "test_reserve_less_than_before_always_succeeds",
        "test_reserve_is_exact_at_the_limit",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.RefusesTheLastByte,
        "test_reserve_is_exact_at_the_limit",
        "test_release_frees_the_reservation_once",
        "test_reserve_more_than_the_limit_is_refused",
        "test_concurrent_reserves_admit_exactly_what_fits",
        "test_quotas_of_different_owners_are_independent",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.AllowsAByteMore,
        "test_reserve_is_exact_at_the_limit",
        "test_reserve_more_than_the_limit_is_refused",
        "test_quotas_of_different_owners_are_independent",
        "test_reserve_without_limit_is_counted",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.RefusesToShrink,
        "test_reserve_less_than_before_always_succeeds",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.CountsRefusedReservations,
        "test_reserve_is_exact_at_the_limit",
        "test_reserve_more_than_the_limit_is_refused",
        "test_concurrent_reserves_admit_exactly_what_fits",
        "test_quotas_of_different_owners_are_independent",
        "test_reserve_less_than_before_always_succeeds",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.AddsToTheReservation,
        "test_reserve_replaces_the_previous_reservation",
        "test_release_frees_the_reservation_once",
        "test_reserve_more_than_the_limit_is_refused",
        "test_reserve_less_than_before_always_succeeds",
        "test_uncommitted_reserve_and_release_are_rolled_back",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.CountsEveryOwnerTogether,
        "test_quotas_of_different_owners_are_independent",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.NeverReleases,
        "test_release_frees_the_reservation_once",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.ReleasesTheFileOnly,
        "test_release_frees_the_reservation_once",
        "test_concurrent_abort_and_reserves_leak_nothing",
        "test_concurrent_releases_free_once",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.RemovesWithoutRelease,
        "test_remove_releases_the_reservation",
        make=MAKE[contracts.FileRepositoryContract],
    ),
    rejected(
        contracts.QuotaContract,
        quotas.ReleasesAgain,
        "test_release_frees_the_reservation_once",
        "test_concurrent_abort_and_reserves_leak_nothing",
        "test_concurrent_releases_free_once",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.ReleasesInAnyState,
        "test_release_of_a_live_file_changes_nothing",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.ReservesForEndedFiles,
        "test_reserve_for_an_ended_file_is_aborted",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.ReservesForUnknownFiles,
        "test_reserve_for_an_ended_file_is_aborted",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.SumsUnsealedFilesOnly,
        "test_reserve_replaces_the_previous_reservation",
        "test_remove_releases_the_reservation",
        "test_release_of_a_live_file_changes_nothing",
    ),
    rejected(
        contracts.LinkRepositoryContract,
        rows.ReadsThenWrites,
        "test_concurrent_downloads_consume_exactly_the_budget",
        make=MAKE[contracts.UnitOfWorkContract],
    ),
    rejected(
        contracts.LinkRepositoryContract,
        links.IgnoresTheBudget,
        "test_concurrent_downloads_consume_exactly_the_budget",
        "test_consume_download_of_an_ended_link_is_refused",
    ),
    rejected(
        contracts.LinkRepositoryContract,
        links.ConsumesRevokedLinks,
        "test_consume_download_of_an_ended_link_is_refused",
    ),
    rejected(
        contracts.LinkRepositoryContract,
        links.ConsumesExpiredLinks,
        "test_consume_download_of_an_ended_link_is_refused",
    ),
    rejected(
        contracts.LinkRepositoryContract, links.ConsumesAtExpiry, "test_consume_download_of_an_ended_link_is_refused"
    ),
    rejected(
        contracts.LinkRepositoryContract, links.ExpiresASecondEarly, "test_consume_download_before_expiry_succeeds"
    ),
    rejected(contracts.LinkRepositoryContract, links.RevokesAgain, "test_revoke_is_final"),
    rejected(
        contracts.LinkRepositoryContract,
        links.FindsOnlyTheFirstFilesLinks,
        "test_of_files_returns_their_links_newest_first",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.ReplacesUnconditionally,
        "test_replace_of_a_changed_secret_is_skipped",
        "test_concurrent_replaces_count_each_secret_once",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.RestoresDestroyedSecrets,
        "test_replace_restores_no_deleted_secret",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.KeepsTheRevision,
        "test_save_of_an_earlier_read_is_conflict",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.NeverCommits,
        "test_replace_changes_the_wrapping_only",
        "test_replace_accepts_many_of_any_kind",
        "test_replace_of_a_changed_secret_is_skipped",
        "test_save_of_an_earlier_read_is_conflict",
        "test_seal_of_an_earlier_read_keeps_the_new_wrapping",
        "test_concurrent_replaces_count_each_secret_once",
        "test_retired_key_is_refused_in_every_write",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.RetiresKeysInUse,
        "test_retired_key_is_refused_in_every_write",
        "test_refused_retirement_leaves_the_key_usable",
        "test_retire_waits_for_uncommitted_secrets",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.ChecksWithoutRetiring,
        "test_retired_key_is_refused_in_every_write",
        "test_retire_waits_for_uncommitted_secrets",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.KeepsARefusedRetirement,
        "test_refused_retirement_leaves_the_key_usable",
    ),
    rejected(contracts.WrappedSecretsContract, wrapped_secrets.SkipsARow, "test_under_pages_skip_none"),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.LosesTheVersion,
        "test_under_returns_row_version_and_wrapping",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.CountsSealedFilesOnly,
        "test_count_groups_secrets_by_kind_and_key",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.SealRestoresTheOldWrapping,
        "test_seal_of_an_earlier_read_keeps_the_new_wrapping",
        make=beside_broken_files,
    ),
    rejected(
        contracts.ExpiredLinkTokensContract,
        retention.DeletesTheWholeLink,
        "test_delete_expired_deletes_the_token_and_keeps_the_link",
        "test_delete_expired_keeps_tokens_of_idempotency_records",
    ),
    rejected(
        contracts.ExpiredLinkTokensContract,
        retention.DeletesAMomentEarly,
        "test_delete_expired_keeps_tokens_of_live_links",
        "test_delete_expired_keeps_tokens_of_idempotency_records",
    ),
    rejected(
        contracts.ExpiredLinkTokensContract,
        retention.KeepsRevokedLinksTokens,
        "test_delete_expired_deletes_the_token_and_keeps_the_link",
    ),
    rejected(
        contracts.ExpiredLinkTokensContract,
        retention.IgnoresIdempotencyRecords,
        "test_delete_expired_keeps_tokens_of_idempotency_records",
    ),
    rejected(
        contracts.ExpiredLinkTokensContract,
        retention.IgnoresTheBatchLimit,
        "test_delete_expired_respects_the_limit",
    ),
    rejected(
        contracts.ExpiredLinkTokensContract,
        retention.CountsWithoutDeleting,
        "test_delete_expired_deletes_the_token_and_keeps_the_link",
        "test_delete_expired_keeps_tokens_of_idempotency_records",
        "test_delete_expired_respects_the_limit",
        "test_concurrent_delete_expired_counts_each_once",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.RotatesOldGenerations,
        "test_rotate_increments_the_generation",
        "test_concurrent_rotations_one_succeeds",
        "test_rotate_invalid_session_changes_nothing",
        "test_changes_are_visible_to_the_other_instance",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.ReadsThenRotates,
        "test_concurrent_rotations_one_succeeds",
        "test_concurrent_rotation_and_revocation_both_apply",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.DeletesRevokedSessions,
        "test_revoke_is_final_and_idempotent",
        "test_concurrent_rotation_and_revocation_both_apply",
        "test_changes_are_visible_to_the_other_instance",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.RotatesRevokedSessions,
        "test_rotate_invalid_session_changes_nothing",
        "test_rotate_after_revocation_by_another_instance_is_refused",
        "test_concurrent_rotation_and_revocation_both_apply",
        "test_changes_are_visible_to_the_other_instance",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.WritesTheWholeSessionWhenRotating,
        "test_concurrent_rotation_and_revocation_both_apply",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.WritesTheWholeSessionWhenRevoking,
        "test_concurrent_rotation_and_revocation_both_apply",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.CachesMisses,
        "test_session_opened_after_a_miss_is_found",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.CachesPerProcess,
        "test_changes_are_visible_to_the_other_instance",
        make=lambda kind: on_one(MemorySessions(), "sessions", kind) | {"user": a_user()},
    ),
    rejected(
        contracts.BlobStoreContract,
        blobs.TruncatesReads,
        "test_put_then_read_returns_the_bytes",
        "test_read_fills_exactly_the_buffer",
        "test_concurrent_reads_return_their_ranges",
        "test_concurrent_puts_of_one_key_one_succeeds",
    ),
    rejected(
        contracts.BlobStoreContract,
        blobs.ReadsOffByOne,
        "test_put_then_read_returns_the_bytes",
        "test_read_fills_exactly_the_buffer",
        "test_concurrent_reads_return_their_ranges",
    ),
    *(
        rejected(
            contract,
            blobs.Overwrites,
            "test_put_existing_key_is_refused",
            "test_concurrent_puts_of_one_key_one_succeeds",
            "test_put_never_replaces_an_acknowledged_blob",
        )
        for contract in (contracts.BlobStoreContract, BlobsWithoutConditionalWritesContract)
    ),
    rejected(contracts.BlobStoreContract, blobs.ChecksThenPuts, "test_concurrent_puts_of_one_key_one_succeeds"),
    rejected(contracts.BlobStoreContract, blobs.ListsUnfinishedPuts, "test_list_omits_unfinished_puts"),
    rejected(
        contracts.BlobStoreContract,
        blobs.ListsTemporaryFiles,
        "test_list_omits_unfinished_puts",
        make=lambda kind: shared("blobs", kind(Path(mkdtemp()))),
    ),
    rejected(contracts.BlobStoreContract, blobs.AcceptsAnySize, "test_read_with_another_size_is_refused"),
    rejected(contracts.BlobStoreContract, blobs.ReturnsShortReads, "test_read_with_another_size_is_refused"),
    rejected(
        contracts.BlobStoreContract,
        blobs.AcceptsShortPuts,
        "test_put_of_another_size_stores_nothing",
        "test_put_never_replaces_an_acknowledged_blob",
    ),
    rejected(contracts.BlobStoreContract, blobs.SwallowsTheCallersError, "test_put_with_raising_pieces_stores_nothing"),
    rejected(contracts.BlobStoreContract, blobs.CollectsPiecesFirst, "test_put_consumes_each_piece_before_the_next"),
    rejected(
        contracts.BlobStoreContract,
        blobs.DeletesByPrefix,
        "test_delete_is_final_and_idempotent",
        "test_concurrent_deletes_all_succeed",
    ),
    rejected(
        contracts.BlobStoreContract,
        blobs.NeverDeletes,
        "test_delete_is_final_and_idempotent",
        "test_concurrent_deletes_all_succeed",
        "test_read_absent_blob_is_missing",
        "test_changes_are_visible_to_the_other_instance",
    ),
    rejected(
        contracts.BlobStoreContract,
        blobs.RefusesToDeleteAgain,
        "test_delete_is_final_and_idempotent",
        "test_concurrent_deletes_all_succeed",
    ),
    rejected(
        contracts.BlobStoreContract,
        blobs.ListsByFolder,
        "test_list_returns_keys_sizes_and_times",
        "test_list_prefix_is_not_a_folder",
    ),
    rejected(contracts.BlobStoreContract, blobs.ListsOnePage, "test_list_returns_more_than_one_page"),
    rejected(contracts.BlobStoreContract, blobs.ListsAHundred, "test_list_returns_more_than_one_page"),
    rejected(contracts.BlobStoreContract, blobs.ReturnsTheListingTime, "test_stored_at_is_constant"),
    *(
        rejected(contract, kind, *clauses, make=make)
        for contract in (contracts.BlobStoreContract, BlobsWithoutConditionalWritesContract)
        for kind, clauses, make in (
            (blobs.CachesFreeKeys, ("test_put_never_replaces_an_acknowledged_blob",), None),
            (
                blobs.ChecksOwnPutsOnly,
                ("test_put_never_replaces_an_acknowledged_blob",),
                lambda kind: on_one(MemoryBlobs(), "blobs", kind),
            ),
        )
    ),
    rejected(
        contracts.BlobStoreContract,
        blobs.CachesListings,
        "test_changes_are_visible_to_the_other_instance",
        make=lambda kind: on_one(MemoryBlobs(), "blobs", kind),
    ),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.ResetsWhenTheClockGoesBack,
        "test_clock_going_back_restores_nothing",
    ),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.CountsRefusedAttempts,
        "test_refused_attempt_consumes_nothing",
        "test_refusal_states_the_wait_in_seconds",
        "test_one_attempt_is_restored_each_interval",
    ),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.AdmitsOneMore,
        "test_fresh_key_has_all_attempts",
        "test_clock_going_back_restores_nothing",
        "test_one_attempt_is_restored_each_interval",
        "test_extreme_keys_and_rates_are_accepted",
        "test_reset_restores_every_attempt_of_the_key",
        "test_keys_differing_in_one_letter_are_independent",
        "test_keys_are_independent",
        "test_concurrent_acquires_admit_exactly_the_rest",
        "test_instances_share_the_count",
    ),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.ResetsEveryKey,
        "test_reset_restores_every_attempt_of_the_key",
    ),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.NeverResets,
        "test_reset_restores_every_attempt_of_the_key",
        "test_extreme_keys_and_rates_are_accepted",
        "test_instances_share_the_count",
    ),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.AlwaysReportsOneSecond,
        "test_refusal_states_the_wait_in_seconds",
    ),
    rejected(
        contracts.RateLimiterContract, rate_limiter.TruncatesKeys, "test_keys_differing_in_one_letter_are_independent"
    ),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.CountsPerProcess,
        "test_instances_share_the_count",
        "test_concurrent_acquires_admit_exactly_the_rest",
        make=lambda kind: on_one(MemoryRateLimiter(), "limiter", kind),
    ),
    rejected(contracts.KeyRingContract, crypto.IgnoresTheContext, "test_unwrap_with_another_context_fails"),
    rejected(contracts.KeyRingContract, crypto.IgnoresThePurpose, "test_unwrap_with_another_purpose_fails"),
    rejected(contracts.KeyRingContract, crypto.TriesItsOwnKey, "test_unwrap_without_the_key_names_it"),
    rejected(contracts.PasswordHasherContract, crypto.EndsAtNul, "test_verify_compares_every_byte"),
    rejected(contracts.PasswordHasherContract, crypto.EndsAfter72Bytes, "test_verify_compares_every_byte"),
    rejected(contracts.PasswordHasherContract, crypto.TrimsSpaces, "test_verify_compares_every_byte"),
    rejected(
        contracts.ReclaimableFilesContract,
        maintenance.AbortsActiveUploads,
        "test_abort_idle_applies_to_idle_uploads_only",
        "test_idle_uses_the_cutoff_of_the_upload_kind",
    ),
    rejected(
        contracts.ReclaimableFilesContract, maintenance.KeepsTheKeyOfAbortedUploads, "test_abort_idle_destroys_the_key"
    ),
    rejected(
        contracts.ReclaimableFilesContract,
        maintenance.ExpiresAMomentLate,
        "test_expired_lists_sealed_files_from_their_expiry_on",
    ),
    rejected(
        contracts.ReclaimableFilesContract,
        maintenance.IgnoresANewExpiry,
        "test_expire_applies_to_expired_files_only",
    ),
    rejected(
        contracts.ReclaimableFilesContract,
        maintenance.KeepsTheKeyOfExpiredFiles,
        "test_expire_applies_to_expired_files_only",
    ),
    rejected(
        contracts.ReclaimableFilesContract,
        maintenance.StopsAtTheFirstPage,
        "test_in_deletion_lists_aborting_and_deleting_files",
    ),
    rejected(
        contracts.StoreIdentityContract,
        maintenance.ReplacesTheStoreId,
        "test_store_id_is_set_once",
        "test_concurrent_set_store_id_one_id_remains",
    ),
    rejected(
        contracts.StoreIdentityContract, maintenance.SetsTheStoreIdWithoutCommit, "test_uncommitted_store_id_is_absent"
    ),
    rejected(
        contracts.IdentifiedBlobStoreContract,
        blobs.ReplacesTheStoreId,
        "test_store_id_is_set_once",
        "test_concurrent_set_store_id_one_id_remains",
    ),
    rejected(contracts.IdentifiedBlobStoreContract, blobs.ListsTheStoreId, "test_store_id_is_not_a_blob"),
    rejected(
        contracts.IdentifiedBlobStoreContract,
        blobs.KeepsTheStoreIdPerProcess,
        "test_store_id_is_set_once",
        "test_concurrent_set_store_id_one_id_remains",
        make=lambda kind: on_one(MemoryBlobs(), "blobs", kind),
    ),
    rejected(contracts.InventoryContract, maintenance.OmitsEmptyParts, "test_parts_lists_every_part_once"),
    rejected(contracts.QuotaAuditContract, maintenance.ComparesTheSumsOnly, "test_errors_that_cancel_out_are_reported"),
    rejected(
        contracts.QuotaAuditContract,
        maintenance.RecountsTheSumOnly,
        "test_drift_is_reported_and_corrected",
        "test_errors_that_cancel_out_are_reported",
        "test_recount_beside_concurrent_changes_is_exact",
    ),
    rejected(
        contracts.IntegrityRowsContract,
        maintenance.ReportsOneMissingReference,
        "test_page_names_missing_references",
    ),
    rejected(
        contracts.IntegrityRowsContract,
        maintenance.OmitsIntactRows,
        "test_page_returns_every_row_once",
        "test_page_names_missing_references",
        "test_page_returns_wrapped_tokens_and_seeds",
    ),
    rejected(contracts.IntegrityRowsContract, maintenance.ReturnsTheNextRow, "test_get_returns_the_row_of_an_id"),
    rejected(
        contracts.LeasesContract,
        maintenance.NeverExpires,
        "test_lease_is_exclusive_until_its_expiry",
        "test_holder_can_extend_and_shorten",
        "test_concurrent_acquires_one_succeeds",
    ),
    rejected(contracts.LeasesContract, maintenance.ReleasesAnyLease, "test_release_by_the_holder_frees_the_lease"),
    rejected(
        contracts.PasswordHasherContract, crypto.RefusesAbsentAccountsFaster, "test_verify_absent_computes_a_hash"
    ),
    rejected(
        contracts.PasswordHasherContract,
        crypto.Constant,
        "test_equal_passwords_have_different_hashes",
        make=lambda kind: {"hasher": Argon2idHasher(entropy=kind(), cost=Argon2Cost(memory_kib=1024))},
    ),
    rejected(contracts.TokenSignerContract, crypto.AcceptsAnyKind, "test_token_of_another_kind_is_refused"),
    rejected(contracts.TokenSignerContract, crypto.IgnoresTheClock, "test_token_expires_at_its_second"),
    rejected(
        contracts.TokenSignerContract,
        crypto.RoundsTheEndUp,
        "test_times_are_rounded_down_to_seconds",
        "test_token_expires_at_its_second",
    ),
    rejected(
        contracts.TotpProviderContract,
        crypto.ReturnsThePresentStep,
        "test_neighbouring_code_matches_its_own_step",
        "test_step_lasts_thirty_seconds",
    ),
    rejected(contracts.TotpProviderContract, crypto.ReadsAnyDigits, "test_code_other_than_six_ascii_digits_is_refused"),
    rejected(
        contracts.TotpProviderContract,
        crypto.AcceptsTwoNeighbours,
        "test_code_of_a_distant_step_is_refused",
        "test_step_lasts_thirty_seconds",
    ),
    rejected(
        contracts.TotpProviderContract,
        crypto.Constant,
        "test_new_seed_has_160_random_bits",
        make=lambda kind: {"codes": PyotpProvider(kind(), ISSUER)},
    ),
    rejected(contracts.ContentCipherContract, crypto.EncryptsWithoutContext, "test_reader_of_another_part_is_refused"),
    rejected(
        contracts.ContentCipherContract,
        crypto.Constant,
        "test_each_encryption_has_a_fresh_salt",
        make=lambda kind: {"cipher": ChunkedCipher(kind())},
    ),
    rejected(contracts.PartReaderContract, crypto.TrustsTheBlobsHeader, "test_read_with_a_flipped_bit_is_refused"),
    rejected(contracts.ClockContract, crypto.LocalClock, "test_time_is_aware_and_in_utc", "test_time_is_the_present"),
    rejected(contracts.ClockContract, crypto.WholeSeconds, "test_time_is_finer_than_a_second"),
    rejected(contracts.EntropyContract, crypto.HasSixteenBitsOfState, "test_draws_do_not_repeat"),
    rejected(contracts.EntropyContract, crypto.PrefersZero, "test_byte_values_are_uniformly_distributed"),
    rejected(
        contracts.IdGeneratorContract,
        crypto.RandomIds,
        "test_id_is_a_uuid_of_version_7",
        "test_later_ids_sort_later",
        "test_concurrent_ids_are_unique_and_sorted_per_thread",
    ),
]


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize("contract", SOUND, ids=lambda contract: contract.__name__)
def test_sound_adapter_passes_every_test(contract: type) -> None:
    """Each correct adapter that bugs are planted in passes every test of its contract."""
    assert clauses_of(contract)
    assert broken_clauses(contract, lambda: MAKE[contract](SOUND[contract])) == set()


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_planted_bug_fails_exactly_its_tests(bug: Bug) -> None:
    """A broken adapter fails exactly the listed tests."""
    assert broken_clauses(bug.contract, lambda: bug.make(bug.kind), but=DRAWN) == set(bug.clauses)
