"""
The contract of `sft_core.maintenance.ports.QuotaAudit`: the sums behind quotas.
"""

from __future__ import annotations

from itertools import count

import pytest

from sft_adapters.testkit.contracts.examples import (
    NOW,
    RACERS,
    Database,
    holding_file,
    race,
    stored_user,
)
from sft_core.errors import SftError
from sft_core.maintenance.ports import QuotaDrift
from sft_core.vault.model import FileState


def _drifts(database: Database) -> list[QuotaDrift]:
    with database(read_only=True) as unit:
        return list(unit.quota_audit.drifts())


class QuotaAuditContract:
    """
    Give the fixture `database`.
    """

    def test_what_is_right_does_not_drift(self, database: Database) -> None:
        """Sealed files that hold their size, others that hold whatever they do, and owners of nothing."""
        stored_user(database)
        owner = stored_user(database)
        holding_file(database, owner, 700)
        holding_file(database, owner, 50, state=FileState.SEALED, size=50)
        assert _drifts(database) == []

    @pytest.mark.parametrize("held", [0, 49, 51])
    def test_a_drift_is_told_and_mended(self, database: Database, held: int) -> None:
        """A sealed file that holds other than its size: told with both sums, right again after a recount."""
        owner, other = stored_user(database), stored_user(database)
        holding_file(database, owner, 700)
        holding_file(database, owner, held, state=FileState.SEALED, size=50)
        holding_file(database, other, 9)
        assert _drifts(database) == [QuotaDrift(owner=owner.id, recorded=700 + held, actual=750)]
        for _ in range(2):
            with database() as unit:
                unit.quota_audit.recount(owner.id)
                unit.commit()
            with database(read_only=True) as unit:
                assert (unit.quotas.used(owner.id), unit.quotas.used(other.id)) == (750, 9)
            assert _drifts(database) == []

    def test_errors_that_cancel_out_are_drifts_too(self, database: Database) -> None:
        """The sum is right, but two files hold what is not theirs: deleting one would take too much away."""
        owner = stored_user(database)
        holding_file(database, owner, 40, state=FileState.SEALED, size=50)
        holding_file(database, owner, 60, state=FileState.SEALED, size=50)
        assert _drifts(database) == [QuotaDrift(owner=owner.id, recorded=100, actual=100)]
        with database() as unit:
            unit.quota_audit.recount(owner.id)
            unit.commit()
        assert _drifts(database) == []

    def test_a_recount_beside_changes_counts_them(self, database: Database) -> None:
        """Holds, ends and recounts of one owner at once: afterwards nothing drifts."""
        owner = stored_user(database)
        holding_file(database, owner, 3, state=FileState.SEALED, size=50)
        files = [holding_file(database, owner, 10) for _ in range(RACERS)]
        numbers = count()

        def act() -> None:
            number = next(numbers)
            file = files[number]
            with database() as unit:
                if number % 3 == 0:
                    unit.quota_audit.recount(owner.id)
                elif number % 3 == 1:
                    assert unit.quotas.reserve(file.id, 10 * number, limit=None)
                else:
                    assert unit.files.replace(file.aborted(NOW), expected=FileState.RECEIVING)
                    unit.quotas.release(file.id)
                    unit.files.remove(file.id)
                unit.commit()

        race(act)
        assert _drifts(database) == []
        with database(read_only=True) as unit:
            assert unit.quotas.used(owner.id) == 50 + 4 * 10 + 10 * (1 + 4 + 7 + 10)

    def test_what_is_not_committed_is_not_counted(self, database: Database) -> None:
        """A recount is undone with its unit, and a read-only unit refuses it."""
        owner = stored_user(database)
        file = holding_file(database, owner, 3, state=FileState.SEALED, size=50)
        with database() as unit:
            unit.quota_audit.recount(owner.id)
            assert unit.quotas.used(owner.id) == file.size
        with database(read_only=True) as unit, pytest.raises(SftError):
            unit.quota_audit.recount(owner.id)
        assert _drifts(database) == [QuotaDrift(owner=owner.id, recorded=3, actual=50)]
