"""
The contract of `sft_core.vault.ports.Quotas`.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import Final

import attrs
import pytest

from sft_adapters.testkit.contracts.examples import NOW, RACERS, Database, a_file, race, stored_user
from sft_core.errors import SftError, UploadAborted
from sft_core.users.model import User
from sft_core.values import FileId, UserId
from sft_core.vault.model import DELETION_STATES, File, FileState

LIMIT: Final = 1000
LIVE_STATES: Final = [state for state in FileState if state not in DELETION_STATES]
DELETED_STATES: Final = [state for state in FileState if state in DELETION_STATES]


def _file(database: Database, owner: User, *, holding: int = 0, state: FileState = FileState.RECEIVING) -> File:
    """
    Store a file that has `holding` bytes reserved and is then in `state`.
    """
    file = a_file(owner)
    with database() as unit:
        unit.files.add(file)
        if holding:
            assert unit.quotas.reserve(file.id, holding, limit=None)
        unit.files.replace(attrs.evolve(file, state=state), expected=FileState.RECEIVING)
        unit.commit()
    return file


def _reserve(database: Database, file: File, size: int, *, limit: int | None = LIMIT) -> bool:
    with database() as unit:
        reserved = unit.quotas.reserve(file.id, size, limit=limit)
        unit.commit()
    return reserved


def _abort_and_remove(database: Database, file: File) -> None:
    """
    Abort and remove a file as `purge` does.
    """
    with database() as unit:
        assert unit.files.replace(file.aborted(NOW), expected=FileState.RECEIVING)
        unit.commit()
    with database() as unit:
        unit.quotas.release(file.id)
        unit.files.remove(file.id)
        unit.commit()


def _used(database: Database, owner: UserId) -> int:
    with database(read_only=True) as unit:
        return unit.quotas.used(owner)


class QuotaContract:
    """
    Contract suite of `Quotas`: exact limits and exact sums, under any concurrency.

    An adapter passes if an owner's use is at any time the sum of the reservations of the owner's files, no
    call raises it above its limit, and each reservation is released exactly once.

    Fixtures:
        database: A new, empty unit-of-work factory.
    """

    @pytest.mark.parametrize("state", LIVE_STATES)
    def test_reserve_replaces_the_previous_reservation(self, database: Database, state: FileState) -> None:
        """A larger or smaller reservation replaces the previous one; the owner's use is the sum."""
        owner = stored_user(database)
        file = _file(database, owner, state=state)
        _file(database, owner, holding=100)
        for size in (10, 25, 25, 5, 0, 7):
            assert _reserve(database, file, size)
            assert _used(database, owner.id) == 100 + size

    def test_reserve_is_exact_at_the_limit(self, database: Database) -> None:
        """A reservation up to the last byte succeeds; one more byte is refused and changes nothing."""
        owner = stored_user(database)
        first, second = _file(database, owner), _file(database, owner)
        assert not _reserve(database, first, LIMIT + 1)
        assert _used(database, owner.id) == 0
        assert _reserve(database, first, LIMIT - 1)
        assert not _reserve(database, second, 2)
        assert _used(database, owner.id) == LIMIT - 1
        assert _reserve(database, second, 1)
        assert not _reserve(database, first, LIMIT)
        assert _used(database, owner.id) == LIMIT

    def test_reserve_more_than_the_limit_is_refused(self, database: Database) -> None:
        """A reservation can grow up to the limit; beyond it is refused and keeps its size."""
        owner = stored_user(database)
        file = _file(database, owner, holding=LIMIT - 10)
        assert not _reserve(database, file, LIMIT + 1)
        assert _used(database, owner.id) == LIMIT - 10
        assert _reserve(database, file, LIMIT)
        assert _used(database, owner.id) == LIMIT

    def test_reserve_less_than_before_always_succeeds(self, database: Database) -> None:
        """A reservation can shrink even if the owner exceeds a lowered limit; it cannot grow."""
        owner = stored_user(database)
        file = _file(database, owner, holding=3 * LIMIT)
        assert _reserve(database, file, 3 * LIMIT)
        assert _reserve(database, file, 2 * LIMIT)
        assert not _reserve(database, file, 2 * LIMIT + 1)
        assert _used(database, owner.id) == 2 * LIMIT

    def test_reserve_without_limit_is_counted(self, database: Database) -> None:
        """Any size is reserved, and counts in a later call with a limit."""
        owner = stored_user(database)
        assert _reserve(database, _file(database, owner), 2**50, limit=None)
        assert _reserve(database, _file(database, owner), 2**50, limit=None)
        assert _used(database, owner.id) == 2**51
        assert not _reserve(database, _file(database, owner), 1, limit=2**51)

    def test_quotas_of_different_owners_are_independent(self, database: Database) -> None:
        """One owner's use leaves another's unchanged; an owner without files uses nothing."""
        owner, other = stored_user(database), stored_user(database)
        assert _reserve(database, _file(database, owner), LIMIT)
        assert _used(database, other.id) == 0
        assert _reserve(database, _file(database, other), LIMIT)
        assert not _reserve(database, _file(database, owner), 1)
        assert _used(database, owner.id) == _used(database, other.id) == LIMIT

    @pytest.mark.parametrize("state", DELETED_STATES)
    def test_release_frees_the_reservation_once(self, database: Database, state: FileState) -> None:
        """Repeated releases of an aborting or deleting file free its bytes once, for a new reservation."""
        owner = stored_user(database)
        kept, file = _file(database, owner, holding=300), _file(database, owner, holding=700, state=state)
        for _ in range(3):
            with database() as unit:
                unit.quotas.release(file.id)
                unit.commit()
            assert _used(database, owner.id) == 300
        with database() as unit:
            unit.quotas.release(file.id)
            unit.files.remove(file.id)
            unit.quotas.release(file.id)
            unit.commit()
        assert _used(database, owner.id) == 300
        assert _reserve(database, kept, LIMIT)

    @pytest.mark.parametrize("state", FileState)
    def test_remove_releases_the_reservation(self, database: Database, state: FileState) -> None:
        """Removing an unreleased aborting or deleting file frees its bytes in the same unit."""
        owner = stored_user(database)
        _file(database, owner, holding=300)
        file = _file(database, owner, holding=700, state=state)
        left = 300 if state in DELETION_STATES else 1000
        with database() as unit:
            unit.files.remove(file.id)
            assert unit.quotas.used(owner.id) == left
        assert _used(database, owner.id) == 1000
        for _ in range(2):
            with database() as unit:
                unit.files.remove(file.id)
                unit.commit()
            assert _used(database, owner.id) == left

    @pytest.mark.parametrize("state", LIVE_STATES)
    def test_release_of_a_live_file_changes_nothing(self, database: Database, state: FileState) -> None:
        """A file being received or sealed keeps its reservation; an unknown file frees nothing."""
        owner = stored_user(database)
        file = _file(database, owner, holding=300, state=state)
        with database() as unit:
            unit.quotas.release(file.id)
            unit.quotas.release(FileId(owner.id.value))
            unit.commit()
        assert _used(database, owner.id) == 300

    @pytest.mark.parametrize("state", DELETED_STATES)
    def test_reserve_for_an_ended_file_is_aborted(self, database: Database, state: FileState) -> None:
        """An aborting, deleting or unknown file raises `UploadAborted`, and nothing changes."""
        owner = stored_user(database)
        file = _file(database, owner, holding=10, state=state)
        for ended in (file, a_file(owner)):
            for size in (5, 10, 20):
                with pytest.raises(UploadAborted):
                    _reserve(database, ended, size)
        assert _used(database, owner.id) == 10

    def test_uncommitted_reserve_and_release_are_rolled_back(self, database: Database) -> None:
        """Both are rolled back with their unit; a read-only unit refuses to reserve."""
        owner = stored_user(database)
        file = _file(database, owner, holding=10)
        with database() as unit:
            assert unit.quotas.reserve(file.id, 500, limit=LIMIT)
            assert unit.quotas.used(owner.id) == 500
        assert _used(database, owner.id) == 10
        with database(read_only=True) as unit, pytest.raises(SftError):
            unit.quotas.reserve(file.id, 500, limit=LIMIT)
        with database() as unit:
            assert unit.files.replace(file.aborted(NOW), expected=FileState.RECEIVING)
            unit.quotas.release(file.id)
        assert _used(database, owner.id) == 10

    def test_concurrent_reserves_admit_exactly_what_fits(self, database: Database) -> None:
        """Of twelve concurrent first reservations of a fifth of the limit each, five succeed."""
        owner = stored_user(database)
        files = [_file(database, owner) for _ in range(RACERS)]
        numbers = count()
        assert race(lambda: _reserve(database, files[next(numbers)], LIMIT // 5)).count(True) == 5
        assert _used(database, owner.id) == LIMIT

    def test_concurrent_releases_free_once(self, database: Database) -> None:
        """Of twelve concurrent releases of one file exactly one frees its bytes."""
        owner = stored_user(database)
        _file(database, owner, holding=300)
        file = _file(database, owner, holding=700, state=FileState.ABORTING)

        def release() -> None:
            with database() as unit:
                unit.quotas.release(file.id)
                unit.files.remove(file.id)
                unit.commit()

        race(release)
        assert _used(database, owner.id) == 300

    def test_concurrent_abort_and_reserves_leak_nothing(self, database: Database) -> None:
        """After one abort concurrent with eleven reservations only another file's bytes are reserved."""
        owner = stored_user(database)
        _file(database, owner, holding=500)
        for _ in range(3):  # An abort before every reservation proves nothing, so the race runs three times.
            file, numbers = _file(database, owner, holding=1), count()

            def act(file: File = file, numbers: count[int] = numbers) -> None:
                number = next(numbers)
                if number == RACERS // 2:
                    _abort_and_remove(database, file)
                else:
                    with suppress(UploadAborted):
                        _reserve(database, file, 10 * number)

            race(act)
            assert _used(database, owner.id) == 500
