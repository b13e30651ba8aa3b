"""
The contract of `sft_core.maintenance.ports.QuotaAudit`.
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
    Contract suite of `QuotaAudit`: recorded sums compared with the actual ones, and corrected.

    An adapter passes if it reports every owner whose reservations differ from the files, even if the
    differences cancel out, and a recount is exact beside concurrent changes.

    Fixtures:
        database: A new, empty unit-of-work factory.
    """

    def test_drifts_of_correct_sums_is_empty(self, database: Database) -> None:
        """Sealed files that reserve their size, other files, and owners without files do not drift."""
        stored_user(database)
        owner = stored_user(database)
        holding_file(database, owner, 700)
        holding_file(database, owner, 50, state=FileState.SEALED, size=50)
        assert _drifts(database) == []

    @pytest.mark.parametrize("held", [0, 49, 51])
    def test_drift_is_reported_and_corrected(self, database: Database, held: int) -> None:
        """A sealed file whose reservation differs from its size is reported with both sums, until a recount."""
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

    def test_errors_that_cancel_out_are_reported(self, database: Database) -> None:
        """If the sum is right but two reservations are wrong, deleting one file would free too many bytes."""
        owner = stored_user(database)
        holding_file(database, owner, 40, state=FileState.SEALED, size=50)
        holding_file(database, owner, 60, state=FileState.SEALED, size=50)
        assert _drifts(database) == [QuotaDrift(owner=owner.id, recorded=100, actual=100)]
        with database() as unit:
            unit.quota_audit.recount(owner.id)
            unit.commit()
        assert _drifts(database) == []

    def test_recount_beside_concurrent_changes_is_exact(self, database: Database) -> None:
        """After concurrent reservations, removals and recounts of one owner nothing drifts."""
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

    def test_uncommitted_recount_is_rolled_back(self, database: Database) -> None:
        """A recount is rolled back with its unit, and a read-only unit refuses it."""
        owner = stored_user(database)
        file = holding_file(database, owner, 3, state=FileState.SEALED, size=50)
        with database() as unit:
            unit.quota_audit.recount(owner.id)
            assert unit.quotas.used(owner.id) == file.size
        with database(read_only=True) as unit, pytest.raises(SftError):
            unit.quota_audit.recount(owner.id)
        assert _drifts(database) == [QuotaDrift(owner=owner.id, recorded=3, actual=50)]
