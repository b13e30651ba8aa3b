"""
The contracts of `sft_core.maintenance.ports`: leftovers and the inventory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Final

import attrs
import pytest

from sft_adapters.testkit.contracts.examples import (
    NOW,
    Database,
    a_file,
    a_link,
    a_user,
    race,
    some_parts,
    stored_file,
    stored_user,
)
from sft_core.maintenance.ports import IdleCutoffs
from sft_core.users.model import User
from sft_core.values import FileId
from sft_core.vault.model import DELETION_STATES, File, FileState, Part, ResumableUpload

TICK: Final = timedelta(microseconds=1)
LATER: Final = timedelta(hours=1)
SINCE: Final = IdleCutoffs(resumable=NOW - LATER, non_resumable=NOW)


def _stored(database: Database, *files: File) -> list[File]:
    with database() as unit:
        for file in files:
            unit.files.add(file)
        unit.commit()
    return sorted(files, key=lambda file: file.id)


def _in_every_state(database: Database, owner: User, each: int = 3) -> list[File]:
    states = [attrs.evolve(a_file(owner), state=state) for state in FileState for _ in range(each)]
    return _stored(
        database, *(attrs.evolve(file, key=None) if file.state in DELETION_STATES else file for file in states)
    )


def _paged(look: Callable[[FileId | None, int], Sequence[FileId]], limit: int) -> list[FileId]:
    """
    Everything that there is, a page at a time.
    """
    found: list[FileId] = []
    while page := look(found[-1] if found else None, limit):
        assert len(page) <= limit
        found += page
    return found


class ReclaimableFilesContract:
    """
    Give the fixture `database`.
    """

    @pytest.mark.parametrize("limit", [1, 2, 100])
    def test_what_is_condemned_is_found(self, database: Database, limit: int) -> None:
        """Aborting and deleting files, by id, and no other; page by page all of them."""
        files = _in_every_state(database, stored_user(database))
        with database(read_only=True) as unit:
            found = _paged(lambda after, most: unit.reclaimable.in_deletion(after=after, limit=most), limit)
        assert found == [file.id for file in files if file.state in DELETION_STATES]

    @pytest.mark.parametrize("limit", [1, 2, 100])
    def test_what_has_expired_is_found(self, database: Database, limit: int) -> None:
        """Sealed files from their end on, to the microsecond; what has no end, or another state, never."""
        owner, sealed = stored_user(database), FileState.SEALED
        ended = _stored(database, *(a_file(owner, state=sealed, expires_at=NOW - late * TICK) for late in (0, 1, 2)))
        _stored(database, a_file(owner, state=sealed, expires_at=NOW + TICK), a_file(owner, state=sealed))
        for state in FileState:
            if state is not sealed:
                _stored(database, a_file(owner, state=state, expires_at=NOW))
        with database(read_only=True) as unit:
            found = _paged(lambda after, most: unit.reclaimable.expired(by=NOW, after=after, limit=most), limit)
        assert found == [file.id for file in ended]

    @pytest.mark.parametrize("state", FileState)
    @pytest.mark.parametrize("end", [None, NOW - TICK, NOW, NOW + TICK])
    def test_only_what_has_expired_is_ended(self, database: Database, state: FileState, end: datetime | None) -> None:
        """Its key is destroyed with it; anything else stays as it is."""
        file = stored_file(database, state=state, expires_at=end)
        over = state is FileState.SEALED and end is not None and end <= NOW
        with database() as unit:
            assert unit.reclaimable.expire(file.id, by=NOW, now=NOW + LATER) == over
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.files.get(file.id) == (file.deleting(NOW + LATER) if over else file)

    def test_who_moves_a_files_end_and_who_ends_it_are_not_both_right(self, database: Database) -> None:
        """Of a move and of twelve ends at once: the file is ended once, or it stays with its new end."""
        file = stored_file(database, state=FileState.SEALED, expires_at=NOW)
        moved, turns = attrs.evolve(file, expires_at=NOW + LATER), count()

        def run() -> str:
            with database() as unit:
                if next(turns) == 0:
                    won = "moved" if unit.files.replace(moved, expected=FileState.SEALED) else ""
                else:
                    won = "ended" if unit.reclaimable.expire(file.id, by=NOW, now=NOW + LATER) else ""
                unit.commit()
            return won

        won = sorted(filter(None, race(run)))
        with database(read_only=True) as unit:
            found = unit.files.get(file.id)
        assert found is not None
        kept = {"moved": (FileState.SEALED, NOW + LATER), "ended": (FileState.DELETING, NOW)}
        assert (found.state, found.expires_at) == kept["".join(won)]

    @pytest.mark.parametrize("limit", [1, 2, 100])
    def test_what_is_idle_is_found(self, database: Database, limit: int) -> None:
        """Uploads without a byte since then, to the microsecond; files in another state are never idle."""
        owner = stored_user(database)
        begun = NOW - timedelta(days=9)
        before = _stored(
            database, *(a_file(owner, created_at=begun, touched_at=NOW - late * TICK) for late in (0, 1, 2))
        )
        _stored(database, a_file(owner, touched_at=NOW + TICK))
        for state in FileState:
            if state is not FileState.RECEIVING:
                _stored(database, a_file(owner, created_at=begun, state=state))
        with database(read_only=True) as unit:
            found = _paged(lambda after, most: unit.reclaimable.idle(since=SINCE, after=after, limit=most), limit)
        assert found == [file.id for file in before]

    @pytest.mark.parametrize("is_resumable", [True, False])
    def test_what_may_be_gone_on_with_has_a_time_of_its_own(self, database: Database, *, is_resumable: bool) -> None:
        """To the microsecond, for a look and for giving up, of uploads that are resumable and of those that are not."""
        last = SINCE.resumable if is_resumable else SINCE.non_resumable
        owner = stored_user(database)
        over, alive = (a_file(owner, created_at=last - LATER, touched_at=at) for at in (last, last + TICK))
        _stored(database, over, alive)
        with database() as unit:
            if is_resumable:
                for file in (over, alive):
                    unit.uploads.add(ResumableUpload(file_id=file.id))
                unit.commit()
        with database() as unit:
            assert list(unit.reclaimable.idle(since=SINCE, after=None, limit=9)) == [over.id]
            won = [unit.reclaimable.abort_idle(file.id, since=SINCE, now=NOW + LATER) for file in (over, alive)]
            assert won == [True, False]

    def test_giving_up_destroys_the_key(self, database: Database) -> None:
        """An idle upload is aborting afterwards, without a key, and nothing else of it is changed."""
        (file,) = _stored(database, a_file(stored_user(database), touched_at=NOW))
        with database() as unit:
            assert unit.reclaimable.abort_idle(file.id, since=SINCE, now=NOW + LATER)
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.files.get(file.id) == file.aborted(NOW + LATER)

    @pytest.mark.parametrize("state", list(FileState))
    def test_only_what_is_idle_is_given_up(self, database: Database, state: FileState) -> None:
        """A file that got a byte since, is in another state or gone is left as it is."""
        late = NOW + TICK if state is FileState.RECEIVING else NOW
        file = a_file(stored_user(database), touched_at=late, state=state)
        _stored(database, file)
        with database() as unit:
            assert not unit.reclaimable.abort_idle(file.id, since=SINCE, now=NOW + LATER)
            assert not unit.reclaimable.abort_idle(FileId(file.owner.value), since=SINCE, now=NOW)
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.files.get(file.id) == file

    def test_of_many_that_give_up_one_wins(self, database: Database) -> None:
        """Of twelve at once, one; the others change nothing."""
        (file,) = _stored(database, a_file(stored_user(database), touched_at=NOW))

        def give_up() -> bool:
            with database() as unit:
                won = unit.reclaimable.abort_idle(file.id, since=SINCE, now=NOW + LATER)
                unit.commit()
            return won

        assert race(give_up).count(True) == 1

    def test_recorded_are_the_keys_that_a_manifest_has(self, database: Database) -> None:
        """Of the keys asked for, and no other; none for none."""
        files = [stored_file(database, 3, 4), stored_file(database, 5)]
        with database(read_only=True) as unit:
            keys = [part.blob_key for file in files for part in unit.inventory.parts(file.id, after=-1, limit=9)]
            strangers = [files[0].blob_key(0, os.urandom(8)), a_file(a_user()).blob_key(1, os.urandom(8))]
            assert unit.reclaimable.referenced_keys([*strangers, *keys[1:]]) == frozenset(keys[1:])
            assert unit.reclaimable.referenced_keys(strangers) == unit.reclaimable.referenced_keys([]) == frozenset()

    def test_a_header_has_its_place(self, database: Database) -> None:
        """The file and the part whose header it is; none for one that is nobody's, and none for none."""
        files = [stored_file(database, 1, 2), stored_file(database, 3, 4)]
        with database(read_only=True) as unit:
            places = {
                part.header: (file.id, part.number)
                for file in files
                for part in unit.inventory.parts(file.id, after=-1, limit=9)
            }
            assert unit.reclaimable.parts_by_header({*places, os.urandom(56)}) == places
            assert unit.reclaimable.parts_by_header({os.urandom(56)}) == unit.reclaimable.parts_by_header(()) == {}

    def test_the_first_account_is_the_oldest(self, database: Database) -> None:
        """None while there is no account."""
        with database(read_only=True) as unit:
            assert unit.reclaimable.oldest_account_created_at() is None
        for late in (2, 1, 3):
            stored_user(database, created_at=NOW + timedelta(days=late))
        with database(read_only=True) as unit:
            assert unit.reclaimable.oldest_account_created_at() == NOW + timedelta(days=1)


class InventoryContract:
    """
    Give the fixture `database`.
    """

    @pytest.mark.parametrize("limit", [1, 5, 100])
    def test_every_file_is_found(self, database: Database, limit: int) -> None:
        """In whatever state and whosever, by id, page by page."""
        files = [*_in_every_state(database, stored_user(database)), stored_file(database, 1)]
        with database(read_only=True) as unit:
            found = _paged(lambda after, most: unit.inventory.files(after=after, limit=most), limit)
        assert found == sorted(file.id for file in files)

    @pytest.mark.parametrize("limit", [1, 2, 100])
    def test_every_part_is_found(self, database: Database, limit: int) -> None:
        """By number, empty ones too, and of this file only."""
        file = a_file(stored_user(database))
        parts = some_parts(file, 3, 0, 4, 5)
        stored_file(database, 7)
        with database() as unit:
            unit.files.add(file)
            unit.manifests.append(file.id, parts)
            unit.commit()
        found: list[Part] = []
        with database(read_only=True) as unit:
            while page := unit.inventory.parts(file.id, after=found[-1].number if found else -1, limit=limit):
                assert len(page) <= limit
                found += page
        assert found == parts

    def test_a_sound_manifest_has_no_stray_parts(self, database: Database) -> None:
        """Lines of files in any state are not stray."""
        stored_file(database, 1, 2)
        stored_file(database, 3, state=FileState.RECEIVING)
        with database(read_only=True) as unit:
            assert list(unit.inventory.dangling_part_keys(after="", limit=9)) == []

    def test_the_keys_of_links_and_second_factors_are_told(self, database: Database) -> None:
        """Each that has wrapped one of them, once."""
        with database(read_only=True) as unit:
            assert set(unit.inventory.key_ids().values()) == {frozenset()}
        file = stored_file(database, 1)
        stored_user(database, totp=None)
        with database() as unit:
            for _ in range(2):
                unit.links.add(a_link(file))
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.inventory.key_ids() == {"links": frozenset({"key-1"}), "second factors": frozenset({"key-1"})}
