"""
The power is cut at every step of every operation, and what was acknowledged is whole.

Rows that are committed are durable, others are gone. Of what the store has not synced anything may
have reached the disk (`support.faults.power`). Whatever was told must be there, whatever is listed must be
what was put, the operation can be gone on with, and one sweep leaves no trace. That this finds what
it looks for, planted bugs show.
"""

from __future__ import annotations

import pytest

from faults.planted import BUGS, Bug
from support.faults.operations import OPERATIONS, AppendToUpload, Operation, StoreSmallFile, StoreThreeParts
from support.faults.power_cuts import DRAWN_CUTS, cut_after_a_failure, cut_everywhere, new_machine

EACH = -(-DRAWN_CUTS // len(OPERATIONS))


@pytest.mark.parametrize("kind", OPERATIONS)
def test_whenever_the_power_is_cut_nothing_told_is_lost(kind: type[Operation]) -> None:
    """At each step: none of the unsynced survives, all of it, the names alone, torn or false bytes, any subset."""
    first = OPERATIONS.index(kind) * EACH
    assert cut_everywhere(new_machine(), kind, seeds=range(first, first + EACH)) > EACH


@pytest.mark.parametrize("kind", [StoreSmallFile, StoreThreeParts, AppendToUpload])
def test_what_is_told_after_a_failure_outlasts_a_power_cut(kind: type[Operation]) -> None:
    """A call that failed leaves nothing half-synced that what comes after would build on."""
    assert cut_after_a_failure(new_machine(), kind) > 10


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    """A sync that is left out, one that comes too late, a row that comes too early."""
    with pytest.raises(AssertionError, match=bug.found_as):
        bug.search()
