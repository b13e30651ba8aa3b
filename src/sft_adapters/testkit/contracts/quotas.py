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
KEPT: Final = [state for state in FileState if state not in DELETION_STATES]
ENDED: Final = [state for state in FileState if state in DELETION_STATES]


def _file(database: Database, owner: User, *, holding: int = 0, state: FileState = FileState.RECEIVING) -> File:
    """
    A committed file that holds so much, whatever its state is now.
    """
    file = a_file(owner)
    with database() as unit:
        unit.files.add(file)
        if holding:
            assert unit.quotas.reserve(file.id, holding, limit=None)
        unit.files.replace(attrs.evolve(file, state=state), expected=FileState.RECEIVING)
        unit.commit()
    return file


def _hold(database: Database, file: File, size: int, *, limit: int | None = LIMIT) -> bool:
    with database() as unit:
        held = unit.quotas.reserve(file.id, size, limit=limit)
        unit.commit()
    return held


def _end(database: Database, file: File) -> None:
    """
    Give a file up as `purge` does.
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
    Give the fixture `database`.
    """

    @pytest.mark.parametrize("state", KEPT)
    def test_a_file_holds_what_was_said_last(self, database: Database, state: FileState) -> None:
        """More or fewer bytes take the place of those before, and the owner's use is their sum."""
        owner = stored_user(database)
        file = _file(database, owner, state=state)
        _file(database, owner, holding=100)
        for size in (10, 25, 25, 5, 0, 7):
            assert _hold(database, file, size)
            assert _used(database, owner.id) == 100 + size

    def test_the_limit_is_exact(self, database: Database) -> None:
        """What fits to the last byte is held; one byte more is not, and changes nothing."""
        owner = stored_user(database)
        first, second = _file(database, owner), _file(database, owner)
        assert not _hold(database, first, LIMIT + 1)
        assert _used(database, owner.id) == 0
        assert _hold(database, first, LIMIT - 1)
        assert not _hold(database, second, 2)
        assert _used(database, owner.id) == LIMIT - 1
        assert _hold(database, second, 1)
        assert not _hold(database, first, LIMIT)
        assert _used(database, owner.id) == LIMIT

    def test_growth_obeys_the_limit(self, database: Database) -> None:
        """Who holds some may hold more only as far as it goes, and keeps what it held."""
        owner = stored_user(database)
        file = _file(database, owner, holding=LIMIT - 10)
        assert not _hold(database, file, LIMIT + 1)
        assert _used(database, owner.id) == LIMIT - 10
        assert _hold(database, file, LIMIT)
        assert _used(database, owner.id) == LIMIT

    def test_shrinking_always_works(self, database: Database) -> None:
        """Also for an owner who uses more than a limit that has been lowered; growing does not."""
        owner = stored_user(database)
        file = _file(database, owner, holding=3 * LIMIT)
        assert _hold(database, file, 3 * LIMIT)
        assert _hold(database, file, 2 * LIMIT)
        assert not _hold(database, file, 2 * LIMIT + 1)
        assert _used(database, owner.id) == 2 * LIMIT

    def test_without_a_limit_all_is_counted(self, database: Database) -> None:
        """Any size is held, and counts for whoever sets a limit later."""
        owner = stored_user(database)
        assert _hold(database, _file(database, owner), 2**50, limit=None)
        assert _hold(database, _file(database, owner), 2**50, limit=None)
        assert _used(database, owner.id) == 2**51
        assert not _hold(database, _file(database, owner), 1, limit=2**51)

    def test_owners_do_not_mix(self, database: Database) -> None:
        """What one has used up is there for another; who has no file uses nothing."""
        owner, other = stored_user(database), stored_user(database)
        assert _hold(database, _file(database, owner), LIMIT)
        assert _used(database, other.id) == 0
        assert _hold(database, _file(database, other), LIMIT)
        assert not _hold(database, _file(database, owner), 1)
        assert _used(database, owner.id) == _used(database, other.id) == LIMIT

    @pytest.mark.parametrize("state", ENDED)
    def test_a_release_gives_back_once(self, database: Database, state: FileState) -> None:
        """All that a condemned file holds comes back, however often it is asked for, and may be held again."""
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
        assert _hold(database, kept, LIMIT)

    @pytest.mark.parametrize("state", FileState)
    def test_what_is_removed_holds_nothing(self, database: Database, state: FileState) -> None:
        """A condemned file that nobody released gives back all that it holds, in the unit that removes it."""
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

    @pytest.mark.parametrize("state", KEPT)
    def test_only_what_is_condemned_is_released(self, database: Database, state: FileState) -> None:
        """A file that is received or sealed keeps what it holds; a file that never was gives nothing back."""
        owner = stored_user(database)
        file = _file(database, owner, holding=300, state=state)
        with database() as unit:
            unit.quotas.release(file.id)
            unit.quotas.release(FileId(owner.id.value))
            unit.commit()
        assert _used(database, owner.id) == 300

    @pytest.mark.parametrize("state", ENDED)
    def test_what_is_over_holds_no_more(self, database: Database, state: FileState) -> None:
        """An aborting, deleting or unknown file is `UploadAborted`, and nothing is changed."""
        owner = stored_user(database)
        file = _file(database, owner, holding=10, state=state)
        for over in (file, a_file(owner)):
            for size in (5, 10, 20):
                with pytest.raises(UploadAborted):
                    _hold(database, over, size)
        assert _used(database, owner.id) == 10

    def test_what_is_not_committed_is_not_held(self, database: Database) -> None:
        """A hold or a release is undone with its unit; a read-only unit refuses both."""
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

    def test_of_many_at_once_as_many_as_fit(self, database: Database) -> None:
        """Of twelve files that hold a fifth each at once, the owner's first ones, five do."""
        owner = stored_user(database)
        files = [_file(database, owner) for _ in range(RACERS)]
        numbers = count()
        assert race(lambda: _hold(database, files[next(numbers)], LIMIT // 5)).count(True) == 5
        assert _used(database, owner.id) == LIMIT

    def test_of_many_that_release_one_gives_back(self, database: Database) -> None:
        """Of twelve that give up one file at once, one counts."""
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

    def test_an_end_while_more_is_held_leaks_nothing(self, database: Database) -> None:
        """Eleven that hold more for a file which the twelfth gives up: afterwards only another file is held."""
        owner = stored_user(database)
        _file(database, owner, holding=500)
        for _ in range(3):  # one that ends it before anybody holds more proves nothing
            file, numbers = _file(database, owner, holding=1), count()

            def act(file: File = file, numbers: count[int] = numbers) -> None:
                number = next(numbers)
                if number == RACERS // 2:
                    _end(database, file)
                else:
                    with suppress(UploadAborted):
                        _hold(database, file, 10 * number)

            race(act)
            assert _used(database, owner.id) == 500
