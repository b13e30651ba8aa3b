"""
The machines find planted bugs and report the violated clause.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.errors import Flaky, FlakyFailure
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from harness.planted import blobs, crypto, links, quotas, rows
from harness.planted.rows import With
from harness.systems import QUOTA, embedded_library, memory_library
from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.system import SystemEntropy
from sft_adapters.testkit import BrokenClause, Clause, blob_machine, budget, system_machine
from sft_core.values import Secret
from sft_core.vault.ports import BlobStore


def broken_clause(machine: type[RuleBasedStateMachine], *, examples: int = 600) -> Clause:
    """
    Return the clause that a machine finds violated.

    A race that is lost once and won when it is repeated counts.
    """
    tried = budget(examples=examples, steps=30, shrink=False)
    with pytest.raises((BrokenClause, Flaky)) as found:
        run_state_machine_as_test(machine, settings=settings(tried, derandomize=True))
    broken: BaseException | None = found.value
    if isinstance(broken, FlakyFailure):
        broken = broken.exceptions[0]
    while isinstance(broken, Flaky):
        # The repeated run won the race and continued differently; the violation is in the context.
        broken = broken.__context__
    assert isinstance(broken, BrokenClause)
    return broken.clause


@pytest.mark.parametrize(
    ("store", "clause"),
    [
        (blobs.TruncatesReads, Clause.BLOB_IS_WHOLE),
        (blobs.ReadsOffByOne, Clause.BLOB_IS_WHOLE),
        (blobs.Overwrites, (Clause.BLOB_IS_PUT_ONCE, Clause.ONE_PUT_WINS)),
        (blobs.ChecksThenPuts, Clause.ONE_PUT_WINS),
        (blobs.ListsUnfinishedPuts, Clause.LISTING_IS_EXACT),
        (blobs.AcceptsAnySize, Clause.BLOB_HAS_ITS_SIZE),
        (blobs.ReturnsShortReads, Clause.BLOB_HAS_ITS_SIZE),
        (blobs.AcceptsShortPuts, Clause.BLOB_HAS_ITS_SIZE),
        (blobs.SwallowsTheCallersError, Clause.FAILED_PUT_LEAVES_NOTHING),
        (blobs.DeletesByPrefix, Clause.LISTING_IS_EXACT),
        (blobs.NeverDeletes, Clause.LISTING_IS_EXACT),
        (blobs.ListsByFolder, Clause.LISTING_IS_EXACT),
    ],
)
def test_blob_machine_finds_a_broken_store(store: Callable[[], BlobStore], clause: Clause | tuple[Clause, ...]) -> None:
    """Operations in any order reveal the bug of a store."""
    assert broken_clause(blob_machine(store)) in (clause if isinstance(clause, tuple) else (clause,))


def test_blob_machine_finds_blobs_lost_in_a_crash() -> None:
    """A store in memory loses its blobs in a crash."""
    assert broken_clause(blob_machine(MemoryBlobs, crash=lambda _: MemoryBlobs())) is Clause.CRASH_LOSES_NOTHING


def secret() -> Secret:
    return Secret(bytes(range(64)))


@pytest.mark.parametrize(
    ("adapters", "clause"),
    [
        ({"begin": lambda: With("links", links.ConsumesRevokedLinks)}, Clause.LINK_HAS_AN_END),
        ({"begin": lambda: With("links", links.ConsumesExpiredLinks)}, Clause.LINK_HAS_AN_END),
        ({"begin": lambda: With("links", links.IgnoresTheBudget)}, Clause.BUDGET_IS_EXACT),
        ({"begin": lambda: With("files", rows.ListsOldestFirst)}, Clause.LISTED_IS_OWNED),
        ({"begin": lambda: With("files", rows.ListsEveryOwnersFiles)}, Clause.LISTED_IS_OWNED),
        ({"begin": lambda: With("files", rows.LosesTheDeletion)}, Clause.DELETED_IS_GONE),
        ({"begin": lambda: With("manifests", rows.MissesAnOverlappingPart)}, Clause.STORED_IS_KEPT),
        ({"begin": lambda: With("quotas", quotas.IgnoresTheLimit)}, Clause.QUOTA_IS_EXACT),
        ({"begin": lambda: With("quotas", quotas.IgnoresTheLimitOnGrowth)}, Clause.QUOTA_IS_EXACT),
        ({"begin": lambda: With("quotas", quotas.RefusesTheLastByte)}, Clause.QUOTA_IS_EXACT),
        ({"begin": lambda: With("quotas", quotas.AllowsAByteMore)}, Clause.QUOTA_IS_EXACT),
        ({"begin": lambda: With("quotas", quotas.ReleasesTheFileOnly)}, Clause.QUOTA_IS_EXACT),
        ({"begin": lambda: With("quotas", quotas.CountsEveryOwnerTogether)}, Clause.QUOTA_IS_EXACT),
        ({"begin": lambda: With("users", rows.SpendsAStepAgain)}, Clause.CODE_IS_SPENT),
        ({"sessions": links.RotatesOldGenerations}, Clause.REFRESH_IS_FOR_ONE_EXCHANGE),
        ({"sessions": links.ReadsThenRotates}, Clause.REFRESH_IS_FOR_ONE_EXCHANGE),
        ({"signer": lambda: crypto.AcceptsAnyKind(secret())}, Clause.TOKEN_IS_GOOD_FOR_A_TIME),
        ({"codes": lambda: crypto.ReturnsThePresentStep(SystemEntropy(), "SFT")}, Clause.CODE_IS_SPENT),
        ({"codes": lambda: crypto.AcceptsTwoNeighbours(SystemEntropy(), "SFT")}, Clause.CODE_IS_SPENT),
    ],
    ids=lambda value: value.name if isinstance(value, Clause) else None,
)
def test_system_machine_finds_a_broken_adapter(adapters: dict[str, Callable[[], Any]], clause: Clause) -> None:
    """Operations in any order reveal the bug of one adapter behind the library."""
    machine = system_machine(lambda: memory_library(**{name: make() for name, make in adapters.items()}), quota=QUOTA)
    assert broken_clause(machine) is clause


def test_system_machine_finds_files_lost_in_a_crash(tmp_path: Path) -> None:
    """A library with blobs in memory loses them when it is reopened."""
    machine = system_machine(lambda: embedded_library(tmp_path, blobs=lambda _: MemoryBlobs()), quota=QUOTA)
    assert broken_clause(machine, examples=50) is Clause.CRASH_LOSES_NOTHING
