"""
Each planted bug is rejected by the clause that names it, and by no other one.
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


class BlobsOnAServerWithoutConditions(contracts.BlobStoreContract):
    """
    The contract as a store keeps it that declares what it cannot do.
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


def links_over_in(database: MemoryDatabase, kind: Kind) -> dict[str, object]:
    return {"database": database, "expired_link_tokens": kind(database)}


def beside_broken_files(kind: Kind) -> dict[str, object]:
    return wrapped_in(With("files", kind), MemoryWrappedSecrets)


def shared(name: str, instance: object, other: object | None = None) -> dict[str, object]:
    """
    The fixtures of a contract that asks for a second instance on the same data; without one, the same.
    """
    return {name: instance, f"other_{name}": instance if other is None else other}


def on_one(data: object, name: str, kind: Kind) -> dict[str, object]:
    """
    Two instances on one store's data.
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
    contracts.ExpiredLinkTokensContract: lambda kind: links_over_in(MemoryDatabase(), kind),
    contracts.SessionStoreContract: lambda kind: shared("sessions", kind()) | {"user": a_user()},
    contracts.RateLimiterContract: lambda kind: shared("limiter", kind()),
    contracts.BlobStoreContract: lambda kind: shared("blobs", kind()),
    BlobsOnAServerWithoutConditions: lambda kind: shared("blobs", kind()),
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
"""How the fixtures of a contract are made of one kind of adapter."""

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
    BlobsOnAServerWithoutConditions: blobs.ChecksThenPuts,
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
"""The adapters that the bugs are planted in; where a quality is declared missing, one that has not got it."""


DRAWN = {
    "test_any_history_is_decided_as_a_leaky_bucket_does",
    "test_who_moves_a_files_end_and_who_ends_it_are_not_both_right",
}
"""Clauses that try what is drawn, or whoever comes first: they may show a bug as well, or may not."""


@attrs.frozen
class Bug:
    """
    A broken adapter, the contract that must reject it, and the clauses that do: the first one names it.
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
    rejected(contracts.UnitOfWorkContract, rows.CommitsOnLeaving, "test_leaving_without_commit_undoes_everything"),
    rejected(contracts.UnitOfWorkContract, rows.DirtyReads, "test_others_see_nothing_before_the_commit"),
    rejected(contracts.UnitOfWorkContract, rows.ReadsThenWrites, "test_of_conflicting_changes_none_is_lost"),
    rejected(contracts.UnitOfWorkContract, rows.WritesInReadOnlyUnits, "test_a_read_only_unit_refuses_changes"),
    rejected(contracts.UnitOfWorkContract, rows.SwallowsTheSecondCommit, "test_a_unit_commits_once_and_is_then_over"),
    rejected(
        contracts.UserRepositoryContract,
        rows.SavesOverAnyRevision,
        "test_saving_needs_the_present_revision",
        "test_a_save_never_brings_a_spent_step_back",
    ),
    rejected(
        contracts.UserRepositoryContract, rows.ComparesNamesAsTyped, "test_an_address_and_a_name_belong_to_one_user"
    ),
    rejected(
        contracts.UserRepositoryContract,
        rows.SpendsAStepAgain,
        "test_a_step_is_spent_once",
        "test_a_save_never_brings_a_spent_step_back",
        "test_a_sign_in_that_may_not_be_changes_nothing",
    ),
    rejected(
        contracts.UserRepositoryContract,
        rows.SignsInWhoIsSwitchedOff,
        "test_a_sign_in_that_may_not_be_changes_nothing",
    ),
    rejected(contracts.FileRepositoryContract, rows.AddsOverAFile, "test_a_file_is_added_once"),
    rejected(
        contracts.FileRepositoryContract,
        rows.ListsOldestFirst,
        "test_a_listing_is_the_owners_sealed_files_newest_first",
        "test_an_expired_file_is_not_listed",
    ),
    rejected(
        contracts.FileRepositoryContract,
        rows.ListsEverybodysFiles,
        "test_a_listing_is_the_owners_sealed_files_newest_first",
    ),
    rejected(contracts.FileRepositoryContract, rows.ListsWhatHasExpired, "test_an_expired_file_is_not_listed"),
    rejected(
        contracts.FileRepositoryContract,
        rows.ListsWhatIsUnderWay,
        "test_a_listing_is_the_owners_sealed_files_newest_first",
    ),
    rejected(
        contracts.FileRepositoryContract,
        rows.ReplacesInAnyState,
        "test_replacing_needs_the_expected_state",
        "test_of_two_ends_one_wins",
        "test_only_what_is_being_received_moves_on",
    ),
    rejected(contracts.FileRepositoryContract, rows.ForgetsToDelete, "test_replacing_needs_the_expected_state"),
    rejected(contracts.FileRepositoryContract, rows.RemovesSealedFiles, "test_only_what_is_condemned_can_be_removed"),
    rejected(
        contracts.FileRepositoryContract,
        rows.ForgetsThatItMoved,
        "test_only_what_is_being_received_moves_on",
        "test_who_read_it_earlier_does_not_take_back_when_it_moved",
    ),
    rejected(contracts.ManifestsContract, rows.MissesThePartBefore, "test_covering_is_what_the_arithmetic_says"),
    rejected(contracts.ManifestsContract, rows.AppendsOverANumber, "test_a_number_stands_once"),
    rejected(
        contracts.ManifestsContract,
        uploads.TailFromTheFront,
        "test_the_tail_is_the_last_parts",
        "test_a_manifest_is_cut_at_a_number",
    ),
    rejected(contracts.ManifestsContract, uploads.CutsBehindTheNumber, "test_a_manifest_is_cut_at_a_number"),
    rejected(
        contracts.ResumableUploadsContract,
        uploads.EverybodyWrites,
        "test_the_latest_who_took_over_is_the_writer",
        "test_of_many_who_take_over_one_is_the_writer",
    ),
    rejected(
        contracts.ResumableUploadsContract,
        uploads.TakesOverWithoutANewNumber,
        "test_the_latest_who_took_over_is_the_writer",
        "test_of_many_who_take_over_one_is_the_writer",
    ),
    rejected(contracts.ResumableUploadsContract, uploads.AnnouncesAgain, "test_a_length_is_announced_once"),
    rejected(contracts.ResumableUploadsContract, uploads.TakesZeroForUnknown, "test_a_length_is_announced_once"),
    rejected(contracts.ResumableUploadsContract, uploads.ForgetsTheSources, "test_an_upload_comes_back_as_stored"),
    rejected(contracts.ResumableUploadsContract, uploads.AddsOverAnother, "test_a_file_has_one_upload"),
    rejected(
        contracts.IdempotencyRecordsContract,
        idempotency.KeepsTheLatest,
        "test_a_key_stands_for_one_answer",
        "test_of_many_at_once_one_is_kept",
        "test_the_last_moment_counts",
    ),
    rejected(
        contracts.IdempotencyRecordsContract,
        idempotency.AlwaysKept,
        "test_a_key_stands_for_one_answer",
        "test_one_that_is_not_committed_is_none",
        "test_of_many_at_once_one_is_kept",
        "test_the_last_moment_counts",
    ),
    rejected(contracts.IdempotencyRecordsContract, idempotency.NeverOver, "test_one_that_is_over_is_none"),
    rejected(contracts.IdempotencyRecordsContract, idempotency.BlocksWhenOver, "test_one_that_is_over_is_none"),
    rejected(
        contracts.IdempotencyRecordsContract,
        idempotency.EndsASecondEarly,
        "test_the_last_moment_counts",
        "test_one_that_is_over_is_none",
    ),
    rejected(
        contracts.IdempotencyRecordsContract,
        idempotency.ForgetsTheLink,
        "test_an_answer_comes_back_as_kept",
        "test_one_that_is_over_is_none",
    ),
    rejected(
        contracts.IdempotencyRecordsContract,
        idempotency.LooksThenKeeps,
        "test_of_many_at_once_one_is_kept",
        make=lambda kind: {"database": kind()},
    ),
    rejected(
        contracts.IdempotencyRecordsContract,
        idempotency.GoesWithTheFile,
        "test_it_outlives_its_file",
        make=lambda kind: {"database": With("files", kind)},
    ),
    rejected(
        contracts.QuotaContract,
        quotas.ReadsThenCounts,
        "test_of_many_at_once_as_many_as_fit",
        "test_an_end_while_more_is_held_leaks_nothing",
        "test_of_many_that_release_one_gives_back",
        make=MAKE[contracts.UnitOfWorkContract],
    ),
    rejected(
        contracts.QuotaContract,
        quotas.IgnoresTheLimit,
        "test_the_limit_is_exact",
        "test_growth_obeys_the_limit",
        "test_of_many_at_once_as_many_as_fit",
        "test_owners_do_not_mix",
        "test_shrinking_always_works",
        "test_without_a_limit_all_is_counted",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.LetsGrowthGo,
        "test_growth_obeys_the_limit",
        "test_shrinking_always_works",
        "test_the_limit_is_exact",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.RefusesTheLastByte,
        "test_the_limit_is_exact",
        "test_a_release_gives_back_once",
        "test_growth_obeys_the_limit",
        "test_of_many_at_once_as_many_as_fit",
        "test_owners_do_not_mix",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.TakesAByteMore,
        "test_the_limit_is_exact",
        "test_growth_obeys_the_limit",
        "test_owners_do_not_mix",
        "test_without_a_limit_all_is_counted",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.RefusesToShrink,
        "test_shrinking_always_works",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.CountsRefusals,
        "test_the_limit_is_exact",
        "test_growth_obeys_the_limit",
        "test_of_many_at_once_as_many_as_fit",
        "test_owners_do_not_mix",
        "test_shrinking_always_works",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.AddsToWhatIsHeld,
        "test_a_file_holds_what_was_said_last",
        "test_a_release_gives_back_once",
        "test_growth_obeys_the_limit",
        "test_shrinking_always_works",
        "test_what_is_not_committed_is_not_held",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.CountsEverybodyTogether,
        "test_owners_do_not_mix",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.NeverReleases,
        "test_a_release_gives_back_once",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.ReleasesTheFileAlone,
        "test_a_release_gives_back_once",
        "test_an_end_while_more_is_held_leaks_nothing",
        "test_of_many_that_release_one_gives_back",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.RemovesWhatStillHolds,
        "test_what_is_removed_holds_nothing",
        make=MAKE[contracts.FileRepositoryContract],
    ),
    rejected(
        contracts.QuotaContract,
        quotas.ReleasesAgain,
        "test_a_release_gives_back_once",
        "test_an_end_while_more_is_held_leaks_nothing",
        "test_of_many_that_release_one_gives_back",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.ReleasesInAnyState,
        "test_only_what_is_condemned_is_released",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.HoldsForTheCondemned,
        "test_what_is_over_holds_no_more",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.HoldsForNobody,
        "test_what_is_over_holds_no_more",
    ),
    rejected(
        contracts.QuotaContract,
        quotas.SumsWhatIsUnderWayOnly,
        "test_a_file_holds_what_was_said_last",
        "test_what_is_removed_holds_nothing",
        "test_only_what_is_condemned_is_released",
    ),
    rejected(
        contracts.LinkRepositoryContract,
        rows.ReadsThenWrites,
        "test_a_budget_is_exact",
        make=MAKE[contracts.UnitOfWorkContract],
    ),
    rejected(
        contracts.LinkRepositoryContract,
        links.ClaimsWithoutABudget,
        "test_a_budget_is_exact",
        "test_what_is_over_cannot_be_claimed",
    ),
    rejected(contracts.LinkRepositoryContract, links.ClaimsRevokedLinks, "test_what_is_over_cannot_be_claimed"),
    rejected(contracts.LinkRepositoryContract, links.ClaimsExpiredLinks, "test_what_is_over_cannot_be_claimed"),
    rejected(contracts.LinkRepositoryContract, links.ClaimsAtTheEnd, "test_what_is_over_cannot_be_claimed"),
    rejected(contracts.LinkRepositoryContract, links.EndsASecondEarly, "test_the_last_moment_counts"),
    rejected(contracts.LinkRepositoryContract, links.RevokesAgain, "test_revoking_is_for_good"),
    rejected(
        contracts.LinkRepositoryContract,
        links.FindsOnlyTheFirstFilesLinks,
        "test_links_of_files_are_all_of_theirs_newest_first",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.ReplacesWhateverIsThere,
        "test_what_has_changed_stays_as_it_is",
        "test_of_many_that_replace_the_same_each_is_replaced_once",
    ),
    rejected(contracts.WrappedSecretsContract, wrapped_secrets.BringsSecretsBack, "test_what_is_gone_stays_gone"),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.KeepsTheRevision,
        "test_a_save_of_who_was_read_before_brings_no_old_wrapping_back",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.ForgetsToCommit,
        "test_a_new_wrapping_takes_the_place_of_what_was_read",
        "test_many_of_any_kind_are_replaced_at_once",
        "test_what_has_changed_stays_as_it_is",
        "test_a_save_of_who_was_read_before_brings_no_old_wrapping_back",
        "test_sealing_a_file_that_was_read_before_keeps_its_new_wrapping",
        "test_of_many_that_replace_the_same_each_is_replaced_once",
        "test_nothing_is_wrapped_under_a_retired_key",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.RetiresWhatIsNeeded,
        "test_nothing_is_wrapped_under_a_retired_key",
        "test_a_key_that_is_needed_is_as_before_after_a_refusal",
        "test_who_was_about_to_store_something_is_not_overlooked",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.RetiresNothing,
        "test_nothing_is_wrapped_under_a_retired_key",
        "test_who_was_about_to_store_something_is_not_overlooked",
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.StaysRetired,
        "test_a_key_that_is_needed_is_as_before_after_a_refusal",
    ),
    rejected(
        contracts.WrappedSecretsContract, wrapped_secrets.StepsOverOne, "test_going_on_from_the_last_one_misses_none"
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.ForgetsTheVersion,
        "test_what_needs_a_key_is_found_as_it_is_stored",
    ),
    rejected(
        contracts.WrappedSecretsContract, wrapped_secrets.CountsSealedFilesOnly, "test_each_kind_is_counted_by_its_key"
    ),
    rejected(
        contracts.WrappedSecretsContract,
        wrapped_secrets.SealsOverTheNewWrapping,
        "test_sealing_a_file_that_was_read_before_keeps_its_new_wrapping",
        make=beside_broken_files,
    ),
    rejected(
        contracts.ExpiredLinkTokensContract,
        retention.DropsTheWholeLink,
        "test_the_token_goes_and_the_rest_stays",
        "test_a_token_that_a_kept_answer_repeats_stays",
    ),
    rejected(
        contracts.ExpiredLinkTokensContract,
        retention.ForgetsAMomentEarly,
        "test_what_was_not_over_before_keeps_its_token",
        "test_a_token_that_a_kept_answer_repeats_stays",
    ),
    rejected(
        contracts.ExpiredLinkTokensContract,
        retention.KeepsRevokedOnes,
        "test_the_token_goes_and_the_rest_stays",
    ),
    rejected(
        contracts.ExpiredLinkTokensContract,
        retention.ForgetsWhatAnAnswerRepeats,
        "test_a_token_that_a_kept_answer_repeats_stays",
    ),
    rejected(
        contracts.ExpiredLinkTokensContract,
        retention.ForgetsAllAtOnce,
        "test_no_more_than_the_limit_go_at_once",
    ),
    rejected(
        contracts.ExpiredLinkTokensContract,
        retention.OnlyCounts,
        "test_the_token_goes_and_the_rest_stays",
        "test_a_token_that_a_kept_answer_repeats_stays",
        "test_no_more_than_the_limit_go_at_once",
        "test_of_many_at_once_each_goes_once",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.RotatesOldGenerations,
        "test_rotating_brings_the_next_generation",
        "test_of_equal_rotations_one_wins",
        "test_what_may_not_rotate_stays",
        "test_what_one_instance_changes_the_other_sees",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.ReadsThenRotates,
        "test_of_equal_rotations_one_wins",
        "test_of_a_rotation_and_a_revocation_at_once_neither_is_lost",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.ForgetsRevokedSessions,
        "test_revoking_is_for_good",
        "test_of_a_rotation_and_a_revocation_at_once_neither_is_lost",
        "test_what_one_instance_changes_the_other_sees",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.RotatesRevokedSessions,
        "test_what_may_not_rotate_stays",
        "test_a_revocation_elsewhere_decides_at_once",
        "test_of_a_rotation_and_a_revocation_at_once_neither_is_lost",
        "test_what_one_instance_changes_the_other_sees",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.WritesTheWholeSessionWhenRotating,
        "test_of_a_rotation_and_a_revocation_at_once_neither_is_lost",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.WritesTheWholeSessionWhenRevoking,
        "test_of_a_rotation_and_a_revocation_at_once_neither_is_lost",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.RemembersWhoWasUnknown,
        "test_an_unknown_session_may_be_opened_later",
    ),
    rejected(
        contracts.SessionStoreContract,
        links.CachesInItsProcess,
        "test_what_one_instance_changes_the_other_sees",
        make=lambda kind: on_one(MemorySessions(), "sessions", kind) | {"user": a_user()},
    ),
    rejected(
        contracts.BlobStoreContract,
        blobs.TruncatesReads,
        "test_a_blob_comes_back_as_put",
        "test_a_read_fills_its_buffer_and_nothing_else",
        "test_many_may_read_at_once",
        "test_of_equal_puts_one_wins_whole",
    ),
    rejected(
        contracts.BlobStoreContract,
        blobs.ReadsOffByOne,
        "test_a_blob_comes_back_as_put",
        "test_a_read_fills_its_buffer_and_nothing_else",
        "test_many_may_read_at_once",
    ),
    *(
        rejected(
            contract,
            blobs.Overwrites,
            "test_a_key_is_put_once",
            "test_of_equal_puts_one_wins_whole",
            "test_what_is_acknowledged_is_never_replaced",
        )
        for contract in (contracts.BlobStoreContract, BlobsOnAServerWithoutConditions)
    ),
    rejected(contracts.BlobStoreContract, blobs.ChecksThenPuts, "test_of_equal_puts_one_wins_whole"),
    rejected(contracts.BlobStoreContract, blobs.ShowsBlobsUnderWay, "test_a_blob_under_way_is_not_listed"),
    rejected(
        contracts.BlobStoreContract,
        blobs.ListsTemporaryFiles,
        "test_a_blob_under_way_is_not_listed",
        make=lambda kind: shared("blobs", kind(Path(mkdtemp()))),
    ),
    rejected(contracts.BlobStoreContract, blobs.AcceptsAnySize, "test_another_size_is_told"),
    rejected(contracts.BlobStoreContract, blobs.EndsEarlyInSilence, "test_another_size_is_told"),
    rejected(
        contracts.BlobStoreContract,
        blobs.AcceptsShortPuts,
        "test_pieces_that_do_not_add_up_store_nothing",
        "test_what_is_acknowledged_is_never_replaced",
    ),
    rejected(contracts.BlobStoreContract, blobs.SwallowsTheCallersError, "test_pieces_that_raise_store_nothing"),
    rejected(contracts.BlobStoreContract, blobs.TakesAllPiecesFirst, "test_each_piece_is_used_up_before_the_next"),
    rejected(
        contracts.BlobStoreContract,
        blobs.DeletesByPrefix,
        "test_deleting_is_for_good_and_may_be_repeated",
        "test_many_may_delete_at_once",
    ),
    rejected(
        contracts.BlobStoreContract,
        blobs.NeverDeletes,
        "test_deleting_is_for_good_and_may_be_repeated",
        "test_many_may_delete_at_once",
        "test_what_is_not_there_is_missing",
        "test_what_one_instance_does_the_other_sees",
    ),
    rejected(
        contracts.BlobStoreContract,
        blobs.DeletesOnlyOnce,
        "test_deleting_is_for_good_and_may_be_repeated",
        "test_many_may_delete_at_once",
    ),
    rejected(
        contracts.BlobStoreContract,
        blobs.ListsByFolder,
        "test_a_listing_tells_keys_sizes_and_times",
        "test_a_prefix_is_letters_and_not_a_folder",
    ),
    rejected(contracts.BlobStoreContract, blobs.ListsAPage, "test_a_listing_has_no_end_but_the_last"),
    rejected(contracts.BlobStoreContract, blobs.ListsAHundred, "test_a_listing_has_no_end_but_the_last"),
    rejected(contracts.BlobStoreContract, blobs.TellsTheTimeOfTheListing, "test_a_blobs_time_stays"),
    *(
        rejected(contract, kind, *clauses, make=make)
        for contract in (contracts.BlobStoreContract, BlobsOnAServerWithoutConditions)
        for kind, clauses, make in (
            (blobs.RemembersWhatWasFree, ("test_what_is_acknowledged_is_never_replaced",), None),
            (
                blobs.KnowsItsOwnPutsOnly,
                ("test_what_is_acknowledged_is_never_replaced",),
                lambda kind: on_one(MemoryBlobs(), "blobs", kind),
            ),
        )
    ),
    rejected(
        contracts.BlobStoreContract,
        blobs.CachesListings,
        "test_what_one_instance_does_the_other_sees",
        make=lambda kind: on_one(MemoryBlobs(), "blobs", kind),
    ),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.GivesBackOnAClockThatGoesBack,
        "test_a_clock_that_goes_back_gives_nothing_back",
    ),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.CountsRefusals,
        "test_who_is_refused_takes_nothing",
        "test_who_is_refused_is_told_how_long",
        "test_an_attempt_comes_back_each_interval",
    ),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.AdmitsOneMore,
        "test_a_fresh_key_has_all_attempts_at_once",
        "test_a_clock_that_goes_back_gives_nothing_back",
        "test_an_attempt_comes_back_each_interval",
        "test_any_key_and_rate_will_do",
        "test_forgetting_gives_every_attempt_back",
        "test_every_letter_of_a_key_counts",
        "test_keys_are_independent",
        "test_of_many_at_once_as_many_as_are_left",
        "test_what_one_instance_counts_the_other_counts",
    ),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.ForgetsEverybody,
        "test_forgetting_gives_every_attempt_back",
    ),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.ForgetsNobody,
        "test_forgetting_gives_every_attempt_back",
        "test_any_key_and_rate_will_do",
        "test_what_one_instance_counts_the_other_counts",
    ),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.AlwaysSaysOneSecond,
        "test_who_is_refused_is_told_how_long",
    ),
    rejected(contracts.RateLimiterContract, rate_limiter.CutsKeys, "test_every_letter_of_a_key_counts"),
    rejected(
        contracts.RateLimiterContract,
        rate_limiter.CountsInItsProcess,
        "test_what_one_instance_counts_the_other_counts",
        "test_of_many_at_once_as_many_as_are_left",
        make=lambda kind: on_one(MemoryRateLimiter(), "limiter", kind),
    ),
    rejected(contracts.KeyRingContract, crypto.IgnoresTheContext, "test_the_context_is_bound"),
    rejected(contracts.KeyRingContract, crypto.IgnoresThePurpose, "test_the_purpose_is_bound"),
    rejected(contracts.KeyRingContract, crypto.TriesItsOwnKey, "test_a_missing_key_is_named"),
    rejected(contracts.PasswordHasherContract, crypto.EndsAtNul, "test_every_byte_counts"),
    rejected(contracts.PasswordHasherContract, crypto.EndsAfter72Bytes, "test_every_byte_counts"),
    rejected(contracts.PasswordHasherContract, crypto.TrimsSpaces, "test_every_byte_counts"),
    rejected(
        contracts.ReclaimableFilesContract,
        maintenance.GivesUpWhatMoves,
        "test_only_what_is_idle_is_given_up",
        "test_what_may_be_gone_on_with_has_a_time_of_its_own",
    ),
    rejected(contracts.ReclaimableFilesContract, maintenance.KeepsTheKey, "test_giving_up_destroys_the_key"),
    rejected(contracts.ReclaimableFilesContract, maintenance.EndsAMomentLate, "test_what_has_expired_is_found"),
    rejected(
        contracts.ReclaimableFilesContract,
        maintenance.EndsWhatWasLookedAt,
        "test_only_what_has_expired_is_ended",
    ),
    rejected(
        contracts.ReclaimableFilesContract,
        maintenance.KeepsTheKeyOfWhatExpired,
        "test_only_what_has_expired_is_ended",
    ),
    rejected(contracts.ReclaimableFilesContract, maintenance.StopsAtTheFirstPage, "test_what_is_condemned_is_found"),
    rejected(
        contracts.StoreIdentityContract,
        maintenance.MarksTheDatabaseAnew,
        "test_a_mark_is_set_once",
        "test_of_several_at_once_one_stays",
    ),
    rejected(contracts.StoreIdentityContract, maintenance.MarksAtOnce, "test_a_mark_is_there_with_its_commit"),
    rejected(
        contracts.IdentifiedBlobStoreContract,
        blobs.MarksAnew,
        "test_a_mark_is_set_once",
        "test_of_several_at_once_one_stays",
    ),
    rejected(contracts.IdentifiedBlobStoreContract, blobs.ListsItsMark, "test_a_mark_is_no_blob"),
    rejected(
        contracts.IdentifiedBlobStoreContract,
        blobs.KeepsItsMarkToItself,
        "test_a_mark_is_set_once",
        "test_of_several_at_once_one_stays",
        make=lambda kind: on_one(MemoryBlobs(), "blobs", kind),
    ),
    rejected(contracts.InventoryContract, maintenance.LeavesEmptyPartsOut, "test_every_part_is_found"),
    rejected(
        contracts.QuotaAuditContract, maintenance.ComparesTheSumsOnly, "test_errors_that_cancel_out_are_drifts_too"
    ),
    rejected(
        contracts.QuotaAuditContract,
        maintenance.CountsTheSumOnly,
        "test_a_drift_is_told_and_mended",
        "test_errors_that_cancel_out_are_drifts_too",
        "test_a_recount_beside_changes_counts_them",
    ),
    rejected(
        contracts.IntegrityRowsContract,
        maintenance.TellsOneThingThatLacks,
        "test_what_a_row_names_and_is_not_there_is_told",
    ),
    rejected(
        contracts.IntegrityRowsContract,
        maintenance.LeavesSoundRowsOut,
        "test_every_row_is_found",
        "test_what_a_row_names_and_is_not_there_is_told",
        "test_tokens_and_seeds_are_told",
    ),
    rejected(contracts.IntegrityRowsContract, maintenance.FindsAnyRow, "test_a_row_is_found_by_its_id"),
    rejected(
        contracts.LeasesContract,
        maintenance.LastsForEver,
        "test_it_is_held_to_its_end_and_no_longer",
        "test_a_holder_may_prolong_and_shorten_it",
        "test_of_many_one_takes_it",
    ),
    rejected(contracts.LeasesContract, maintenance.GivesBackAnyones, "test_it_can_be_given_back"),
    rejected(contracts.PasswordHasherContract, crypto.AnswersAtOnceForNobody, "test_an_absent_account_costs_as_much"),
    rejected(
        contracts.PasswordHasherContract,
        crypto.Constant,
        "test_equal_passwords_hash_differently",
        make=lambda kind: {"hasher": Argon2idHasher(entropy=kind(), cost=Argon2Cost(memory_kib=1024))},
    ),
    rejected(contracts.TokenSignerContract, crypto.AcceptsAnyKind, "test_no_kind_is_accepted_as_another"),
    rejected(contracts.TokenSignerContract, crypto.IgnoresTheClock, "test_a_token_ends_with_its_second"),
    rejected(
        contracts.TokenSignerContract,
        crypto.RoundsTheEndUp,
        "test_times_are_rounded_down_to_seconds",
        "test_a_token_ends_with_its_second",
    ),
    rejected(
        contracts.TotpProviderContract,
        crypto.TellsThePresentStep,
        "test_a_neighbour_is_accepted_as_its_own_step",
        "test_a_step_lasts_thirty_seconds",
    ),
    rejected(contracts.TotpProviderContract, crypto.ReadsAnyDigits, "test_only_six_ascii_digits_are_a_code"),
    rejected(
        contracts.TotpProviderContract,
        crypto.AcceptsTwoNeighbours,
        "test_other_steps_are_refused",
        "test_a_step_lasts_thirty_seconds",
    ),
    rejected(
        contracts.TotpProviderContract,
        crypto.Constant,
        "test_a_seed_is_160_random_bits",
        make=lambda kind: {"codes": PyotpProvider(kind(), ISSUER)},
    ),
    rejected(
        contracts.ContentCipherContract, crypto.EncryptsWithoutContext, "test_a_reader_of_another_part_is_refused"
    ),
    rejected(
        contracts.ContentCipherContract,
        crypto.Constant,
        "test_every_part_has_a_salt_of_its_own",
        make=lambda kind: {"cipher": ChunkedCipher(kind())},
    ),
    rejected(contracts.PartReaderContract, crypto.TrustsTheBlobsHeader, "test_every_flipped_byte_is_refused"),
    rejected(contracts.ClockContract, crypto.LocalClock, "test_time_is_aware_and_in_utc", "test_time_is_the_present"),
    rejected(contracts.ClockContract, crypto.WholeSeconds, "test_time_is_finer_than_a_second"),
    rejected(contracts.EntropyContract, crypto.RepeatsAfterAWhile, "test_no_draw_comes_twice"),
    rejected(contracts.EntropyContract, crypto.LeansToZero, "test_bytes_do_not_lean"),
    rejected(
        contracts.IdGeneratorContract,
        crypto.RandomIds,
        "test_an_identifier_is_a_uuid_of_version_7",
        "test_later_identifiers_sort_later",
        "test_threads_never_get_one_identifier",
    ),
]


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize("contract", SOUND, ids=lambda contract: contract.__name__)
def test_a_sound_adapter_breaks_no_clause(contract: type) -> None:
    """What the planted bugs are planted in passes every clause of its contract."""
    assert clauses_of(contract)
    assert broken_clauses(contract, lambda: MAKE[contract](SOUND[contract])) == set()


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_a_planted_bug_is_rejected_by_the_clauses_that_name_it(bug: Bug) -> None:
    """A broken adapter fails exactly the clauses of the table, and nothing else."""
    assert broken_clauses(bug.contract, lambda: bug.make(bug.kind), but=DRAWN) == set(bug.clauses)
