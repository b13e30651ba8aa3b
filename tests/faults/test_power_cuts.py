"""
A power cut at every step of every operation loses nothing that was acknowledged.

Committed rows are durable, uncommitted ones are lost. Any subset of what the store has not synced may have
reached the disk (`support.power`). What was acknowledged must be stored, what is listed must be what was
put, the operation can be continued, and one sweep leaves no trace. Planted bugs show that this search finds
such losses.
"""

from __future__ import annotations

import pytest

from faults.planted import BUGS, Bug
from support.faults.operations import OPERATIONS, AppendToUpload, Operation, StoreSmallFile, StoreThreeParts
from support.faults.power_cuts import DRAWN_CUTS, cut_after_a_failure, cut_everywhere, new_machine

EACH = -(-DRAWN_CUTS // len(OPERATIONS))


@pytest.mark.parametrize("kind", OPERATIONS)
def test_power_cut_loses_nothing_acknowledged(kind: type[Operation]) -> None:
    """At each step the unsynced data is lost, kept, reduced to names, torn, falsified, or kept in any subset."""
    first = OPERATIONS.index(kind) * EACH
    assert cut_everywhere(new_machine(), kind, seeds=range(first, first + EACH)) > EACH


@pytest.mark.parametrize("kind", [StoreSmallFile, StoreThreeParts, AppendToUpload])
def test_acknowledgement_after_a_failure_survives_a_power_cut(kind: type[Operation]) -> None:
    """A failed call leaves nothing half-synced on which later calls rely."""
    assert cut_after_a_failure(new_machine(), kind) > 10


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_planted_bug_is_found(bug: Bug) -> None:
    """A missing sync, a late sync and an early row are all found."""
    with pytest.raises(AssertionError, match=bug.found_as):
        bug.search()
