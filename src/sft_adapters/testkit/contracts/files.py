"""
The contracts of `sft_core.vault.ports.FileRepository` and `Manifests`.
"""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from sft_adapters.testkit.contracts.examples import (
    NOW,
    Database,
    a_file,
    a_link,
    race,
    some_parts,
    stored_file,
    stored_user,
)
from sft_core.errors import Conflict
from sft_core.values import ByteRange, FileId, FileName, Page
from sft_core.vault.model import Encryption, File, FileState, Part, ShareTerms


def _get(database: Database, file_id: FileId) -> File | None:
    with database(read_only=True) as unit:
        return unit.files.get(file_id)


class FileRepositoryContract:
    """
    Give the fixture `database`.
    """

    @pytest.mark.parametrize("state", FileState)
    def test_a_file_comes_back_as_stored(self, database: Database, state: FileState) -> None:
        """Every field survives in every state; an unknown file is None."""
        plain = {"terms": ShareTerms(), "key": None, "encryption": Encryption.CLIENT, "size": 2**50, "version": 7}
        for changes in ({}, plain, {"expires_at": NOW + timedelta(days=3650, microseconds=1)}):
            file = stored_file(database, **{"state": state, **changes})
            assert _get(database, file.id) == file
        assert _get(database, a_file(stored_user(database)).id) is None

    def test_a_file_is_added_once(self, database: Database) -> None:
        """A second one of the same id is a conflict, and the first one stays as it is."""
        file = stored_file(database, state=FileState.SEALED)
        with pytest.raises(Conflict), database() as unit:
            unit.files.add(attrs.evolve(file, size=file.size + 1))
            unit.commit()
        assert _get(database, file.id) == file

    def test_a_listing_is_the_owners_sealed_files_newest_first(self, database: Database) -> None:
        """Files of others and unfinished ones are left out; equal times are ordered by id."""
        owner, stranger = stored_user(database), stored_user(database)
        times = [NOW + timedelta(microseconds=step) for step in (0, 2, 1, 1)]
        mine = [a_file(owner, state=FileState.SEALED, created_at=time) for time in times]
        others = [a_file(stranger, state=FileState.SEALED)]
        others += [a_file(owner, state=state) for state in FileState if state is not FileState.SEALED]
        with database() as unit:
            for file in (*mine, *others):
                unit.files.add(file)
            unit.commit()
        newest_first = sorted(mine, key=lambda file: (file.created_at, file.id), reverse=True)
        with database(read_only=True) as unit:
            assert list(unit.files.list_sealed(owner.id, Page(), now=NOW)) == newest_first
            assert list(unit.files.list_sealed(owner.id, Page(skip=1, limit=2), now=NOW)) == newest_first[1:3]
            assert list(unit.files.list_sealed(owner.id, Page(skip=4), now=NOW)) == []

    def test_an_expired_file_is_not_listed(self, database: Database) -> None:
        """From its end on, to the microsecond; nor does it take a place on a page."""
        owner, tick = stored_user(database), timedelta(microseconds=1)
        lasting, ended, ends_now, ends_later = (
            a_file(owner, state=FileState.SEALED, created_at=NOW - age * tick, expires_at=end)
            for age, end in enumerate([None, NOW - tick, NOW, NOW + tick])
        )
        with database() as unit:
            for file in (lasting, ended, ends_now, ends_later):
                unit.files.add(file)
            unit.commit()
        with database(read_only=True) as unit:
            assert list(unit.files.list_sealed(owner.id, Page(limit=2), now=NOW)) == [lasting, ends_later]
            assert list(unit.files.list_sealed(owner.id, Page(), now=NOW + tick)) == [lasting]

    @pytest.mark.parametrize("stored", FileState)
    @pytest.mark.parametrize("expected", FileState)
    def test_replacing_needs_the_expected_state(
        self, database: Database, stored: FileState, expected: FileState
    ) -> None:
        """Only from the expected state is anything changed, and then everything that may change."""
        file = stored_file(database, state=stored)
        changed = attrs.evolve(
            file,
            state=FileState.DELETING,
            size=9,
            key=None,
            name=FileName.parse("renamed.txt"),
            terms=ShareTerms(max_downloads=1),
            expires_at=NOW,
        )
        with database() as unit:
            assert unit.files.replace(changed, expected=expected) == (stored is expected)
            unit.commit()
        assert _get(database, file.id) == (changed if stored is expected else file)

    def test_what_is_gone_cannot_be_replaced(self, database: Database) -> None:
        """A file that is not stored is not made by replacing it."""
        file = a_file(stored_user(database))
        with database() as unit:
            assert not unit.files.replace(file, expected=FileState.RECEIVING)
            unit.commit()
        assert _get(database, file.id) is None

    @pytest.mark.parametrize("state", FileState)
    def test_only_what_is_being_received_moves_on(self, database: Database, state: FileState) -> None:
        """When bytes last came is kept to the microsecond; an upload that has ended does not move any more."""
        file = stored_file(database, state=state)
        receiving = state is FileState.RECEIVING
        moved = attrs.evolve(file, touched_at=file.created_at + timedelta(seconds=61, microseconds=7))
        with database() as unit:
            assert unit.files.replace(moved, expected=FileState.RECEIVING) == receiving
            unit.commit()
        assert _get(database, file.id) == (moved if receiving else file)

    def test_of_two_ends_one_wins(self, database: Database) -> None:
        """Of twelve that move a file out of one state at once, one does."""
        file = stored_file(database, state=FileState.RECEIVING)

        def seal() -> bool:
            with database() as unit:
                won = unit.files.replace(file.sealed(size=0, terms=file.terms), expected=FileState.RECEIVING)
                unit.commit()
            return won

        assert race(seal).count(True) == 1

    def test_who_read_it_earlier_does_not_take_back_when_it_moved(self, database: Database) -> None:
        """Its owner has been told until when it is kept, by what came last."""
        file = stored_file(database, state=FileState.RECEIVING)
        moved = attrs.evolve(file, touched_at=file.touched_at + timedelta(seconds=1))
        with database() as unit:
            assert unit.files.replace(moved, expected=FileState.RECEIVING)
            assert unit.files.replace(file, expected=FileState.RECEIVING)
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.files.get(file.id) == moved

    @pytest.mark.parametrize("state", FileState)
    def test_only_what_is_condemned_can_be_removed(self, database: Database, state: FileState) -> None:
        """Aborting and deleting files go, with their parts and links; any other stays whole."""
        file = stored_file(database, 10, 20, state=state)
        kept = stored_file(database, 5)
        link, kept_link = a_link(file), a_link(kept)
        with database() as unit:
            unit.links.add(link)
            unit.links.add(kept_link)
            unit.commit()
        with database() as unit:
            unit.files.remove(file.id)
            unit.files.remove(FileId(file.owner.value))
            unit.commit()
        gone = state in {FileState.ABORTING, FileState.DELETING}
        with database(read_only=True) as unit:
            assert (unit.files.get(file.id) is None) == gone
            assert unit.manifests.totals(file.id) == ((0, 0) if gone else (2, 30))
            assert (unit.links.find(link.token_digest) is None) == gone
            assert unit.files.get(kept.id) == kept
            assert unit.manifests.totals(kept.id) == (1, 5)
            assert unit.links.find(kept_link.token_digest) == kept_link


class ManifestsContract:
    """
    Give the fixture `database`.
    """

    def test_parts_come_back_as_appended(self, database: Database) -> None:
        """In batches or at once, in order of their numbers, every field as it was."""
        file = stored_file(database)
        parts = some_parts(file, 10, 20, 30)
        with database() as unit:
            unit.manifests.append(file.id, parts[:1])
            unit.manifests.append(file.id, [])
            unit.manifests.append(file.id, parts[1:])
            unit.commit()
        with database(read_only=True) as unit:
            assert list(unit.manifests.covering(file.id, ByteRange(0, 60), limit=10)) == parts
            assert unit.manifests.totals(file.id) == (3, 60)

    def test_a_number_stands_once(self, database: Database) -> None:
        """A part of a number that is there is a conflict, and nothing of the batch stays."""
        file = stored_file(database, 10)
        with database() as unit, pytest.raises(Conflict):
            unit.manifests.append(file.id, some_parts(file, 10, first=0))
        with database(read_only=True) as unit:
            assert unit.manifests.totals(file.id) == (1, 10)

    @pytest.mark.parametrize("sizes", [(10, 1, 20, 5), (10, 0, 20, 0), (0,), (7,)])
    def test_covering_is_what_the_arithmetic_says(self, database: Database, sizes: tuple[int, ...]) -> None:
        """For every span and limit the parts are those that hold a byte of it, first ones first."""
        file = stored_file(database)
        parts = some_parts(file, *sizes)
        with database() as unit:
            unit.manifests.append(file.id, parts)
            unit.commit()
        bounds = sorted({0, 1, *(part.start + step for part in parts for step in (0, 1, part.size - 1)), 40} - {-1})
        with database(read_only=True) as unit:
            for start in bounds:
                for stop in bounds:
                    if start <= stop:
                        span = ByteRange(start, stop)
                        holding = [part for part in parts if _holds(part, span)]
                        assert list(unit.manifests.covering(file.id, span, limit=9)) == holding
                        assert list(unit.manifests.covering(file.id, span, limit=1)) == holding[:1]

    def test_the_tail_is_the_last_parts(self, database: Database) -> None:
        """As many as asked for, in order; all of them if there are no more."""
        file = stored_file(database)
        parts = some_parts(file, 10, 0, 30)
        with database() as unit:
            unit.manifests.append(file.id, parts)
            unit.commit()
        with database(read_only=True) as unit:
            for limit in (1, 2, 3, 9):
                assert list(unit.manifests.tail(file.id, limit=limit)) == parts[-limit:]
            assert list(unit.manifests.tail(FileId(file.owner.value), limit=9)) == []

    def test_a_manifest_is_cut_at_a_number(self, database: Database) -> None:
        """The parts before it stay, and others come in the place of those behind; another file's stay."""
        file, other = stored_file(database, 10, 20, 30), stored_file(database, 5, 6)
        merged = some_parts(file, 55, first=1, start=10)
        with database() as unit:
            unit.manifests.truncate(file.id, 1)
            unit.manifests.append(file.id, merged)
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.manifests.totals(file.id) == (2, 65)
            assert list(unit.manifests.tail(file.id, limit=1)) == merged
            assert unit.manifests.totals(other.id) == (2, 11)

    def test_manifests_do_not_mix(self, database: Database) -> None:
        """A file's parts are its own; an unknown file has none."""
        file, other = stored_file(database, 10), stored_file(database, 20, 30)
        with database(read_only=True) as unit:
            assert unit.manifests.totals(file.id) == (1, 10)
            assert unit.manifests.totals(other.id) == (2, 50)
            assert unit.manifests.totals(FileId(file.owner.value)) == (0, 0)
            assert list(unit.manifests.covering(FileId(file.owner.value), ByteRange(0, 9), limit=9)) == []


def _holds(part: Part, span: ByteRange) -> bool:
    return any(span.start <= byte < span.stop for byte in range(part.start, part.start + part.size))
