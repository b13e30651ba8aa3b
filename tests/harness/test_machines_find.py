"""
The machines find planted bugs by themselves, and say which clause does not hold.
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
    The clause that a machine finds broken; a race that is lost once and won when repeated counts.
    """
    tried = budget(examples=examples, steps=30, shrink=False)
    with pytest.raises((BrokenClause, Flaky)) as found:
        run_state_machine_as_test(machine, settings=settings(tried, derandomize=True))
    broken: BaseException | None = found.value
    if isinstance(broken, FlakyFailure):
        broken = broken.exceptions[0]
    while isinstance(broken, Flaky):
        # Won when repeated, it went another way from there: what was lost is what led to it.
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
        (blobs.ShowsBlobsUnderWay, Clause.LISTING_IS_EXACT),
        (blobs.AcceptsAnySize, Clause.BLOB_HAS_ITS_SIZE),
        (blobs.EndsEarlyInSilence, Clause.BLOB_HAS_ITS_SIZE),
        (blobs.AcceptsShortPuts, Clause.BLOB_HAS_ITS_SIZE),
        (blobs.SwallowsTheCallersError, Clause.FAILED_PUT_LEAVES_NOTHING),
        (blobs.DeletesByPrefix, Clause.LISTING_IS_EXACT),
        (blobs.NeverDeletes, Clause.LISTING_IS_EXACT),
        (blobs.ListsByFolder, Clause.LISTING_IS_EXACT),
    ],
)
def test_the_blob_machine_finds_a_broken_store(
    store: Callable[[], BlobStore], clause: Clause | tuple[Clause, ...]
) -> None:
    """Putting, reading, deleting and listing in any order shows what a store does wrong."""
    assert broken_clause(blob_machine(store)) in (clause if isinstance(clause, tuple) else (clause,))


def test_the_blob_machine_finds_what_a_crash_loses() -> None:
    """A store that keeps its blobs in memory does not survive a crash."""
    assert broken_clause(blob_machine(MemoryBlobs, crash=lambda _: MemoryBlobs())) is Clause.CRASH_LOSES_NOTHING


def secret() -> Secret:
    return Secret(bytes(range(64)))


@pytest.mark.parametrize(
    ("adapters", "clause"),
    [
        ({"begin": lambda: With("links", links.ClaimsRevokedLinks)}, Clause.LINK_HAS_AN_END),
        ({"begin": lambda: With("links", links.ClaimsExpiredLinks)}, Clause.LINK_HAS_AN_END),
        ({"begin": lambda: With("links", links.ClaimsWithoutABudget)}, Clause.BUDGET_IS_EXACT),
        ({"begin": lambda: With("files", rows.ListsOldestFirst)}, Clause.LISTED_IS_OWNED),
        ({"begin": lambda: With("files", rows.ListsEverybodysFiles)}, Clause.LISTED_IS_OWNED),
        ({"begin": lambda: With("files", rows.ForgetsToDelete)}, Clause.DELETED_IS_GONE),
        ({"begin": lambda: With("manifests", rows.MissesThePartBefore)}, Clause.STORED_IS_KEPT),
        ({"begin": lambda: With("quotas", quotas.IgnoresTheLimit)}, Clause.QUOTA_IS_EXACT),
        ({"begin": lambda: With("quotas", quotas.LetsGrowthGo)}, Clause.QUOTA_IS_EXACT),
        ({"begin": lambda: With("quotas", quotas.RefusesTheLastByte)}, Clause.QUOTA_IS_EXACT),
        ({"begin": lambda: With("quotas", quotas.TakesAByteMore)}, Clause.QUOTA_IS_EXACT),
        ({"begin": lambda: With("quotas", quotas.ReleasesTheFileAlone)}, Clause.QUOTA_IS_EXACT),
        ({"begin": lambda: With("quotas", quotas.CountsEverybodyTogether)}, Clause.QUOTA_IS_EXACT),
        ({"begin": lambda: With("users", rows.SpendsAStepAgain)}, Clause.CODE_IS_SPENT),
        ({"sessions": links.RotatesOldGenerations}, Clause.REFRESH_IS_FOR_ONE_EXCHANGE),
        ({"sessions": links.ReadsThenRotates}, Clause.REFRESH_IS_FOR_ONE_EXCHANGE),
        ({"signer": lambda: crypto.AcceptsAnyKind(secret())}, Clause.TOKEN_IS_GOOD_FOR_A_TIME),
        ({"codes": lambda: crypto.TellsThePresentStep(SystemEntropy(), "SFT")}, Clause.CODE_IS_SPENT),
        ({"codes": lambda: crypto.AcceptsTwoNeighbours(SystemEntropy(), "SFT")}, Clause.CODE_IS_SPENT),
    ],
    ids=lambda value: value.name if isinstance(value, Clause) else None,
)
def test_the_system_machine_finds_a_broken_adapter(adapters: dict[str, Callable[[], Any]], clause: Clause) -> None:
    """People, files and links in any order show what one adapter behind them does wrong."""
    machine = system_machine(lambda: memory_library(**{name: make() for name, make in adapters.items()}), quota=QUOTA)
    assert broken_clause(machine) is clause


def test_the_system_machine_finds_what_a_crash_loses(tmp_path: Path) -> None:
    """A library whose blobs are in memory loses them when it is opened again."""
    machine = system_machine(lambda: embedded_library(tmp_path, blobs=lambda _: MemoryBlobs()), quota=QUOTA)
    assert broken_clause(machine, examples=50) is Clause.CRASH_LOSES_NOTHING
