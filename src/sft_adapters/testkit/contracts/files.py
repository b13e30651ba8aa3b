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
    Contract suite of `FileRepository`: stored fields, owner listings, compare-and-set of states.

    An adapter passes if `replace` changes a file in the expected state only, of concurrent changes of state
    one succeeds, and a listing contains exactly the owner's sealed, unexpired files.

    Fixtures:
        database: A new, empty unit-of-work factory.
    """

    @pytest.mark.parametrize("state", FileState)
    def test_file_round_trip_keeps_every_field(self, database: Database, state: FileState) -> None:
        """Every field is stored in every state; an unknown file is None."""
        plain = {"terms": ShareTerms(), "key": None, "encryption": Encryption.CLIENT, "size": 2**50, "version": 7}
        for changes in ({}, plain, {"expires_at": NOW + timedelta(days=3650, microseconds=1)}):
            file = stored_file(database, **{"state": state, **changes})
            assert _get(database, file.id) == file
        assert _get(database, a_file(stored_user(database)).id) is None

    def test_add_existing_id_is_conflict(self, database: Database) -> None:
        """A second file with the same id raises `Conflict`; the first one is unchanged."""
        file = stored_file(database, state=FileState.SEALED)
        with pytest.raises(Conflict), database() as unit:
            unit.files.add(attrs.evolve(file, size=file.size + 1))
            unit.commit()
        assert _get(database, file.id) == file

    def test_list_sealed_returns_own_sealed_files_newest_first(self, database: Database) -> None:
        """Other owners' and unsealed files are omitted; files of equal times are ordered by id."""
        owner, stranger = stored_user(database), stored_user(database)
        times = [NOW + timedelta(microseconds=step) for step in (0, 2, 1, 1)]
        own = [a_file(owner, state=FileState.SEALED, created_at=time) for time in times]
        others = [a_file(stranger, state=FileState.SEALED)]
        others += [a_file(owner, state=state) for state in FileState if state is not FileState.SEALED]
        with database() as unit:
            for file in (*own, *others):
                unit.files.add(file)
            unit.commit()
        newest_first = sorted(own, key=lambda file: (file.created_at, file.id), reverse=True)
        with database(read_only=True) as unit:
            assert list(unit.files.list_sealed(owner.id, Page(), now=NOW)) == newest_first
            assert list(unit.files.list_sealed(owner.id, Page(skip=1, limit=2), now=NOW)) == newest_first[1:3]
            assert list(unit.files.list_sealed(owner.id, Page(skip=4), now=NOW)) == []

    def test_list_sealed_omits_expired_files(self, database: Database) -> None:
        """A file is omitted from its expiry on, to the microsecond, and uses no entry of a page."""
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
    def test_replace_requires_the_expected_state(
        self, database: Database, stored: FileState, expected: FileState
    ) -> None:
        """A file in the expected state changes in every mutable field; in another state in none."""
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

    def test_replace_unknown_file_creates_nothing(self, database: Database) -> None:
        """Replacing a file that is not stored returns False and does not store it."""
        file = a_file(stored_user(database))
        with database() as unit:
            assert not unit.files.replace(file, expected=FileState.RECEIVING)
            unit.commit()
        assert _get(database, file.id) is None

    @pytest.mark.parametrize("state", FileState)
    def test_replace_moves_touched_at_while_receiving_only(self, database: Database, state: FileState) -> None:
        """`touched_at` is stored to the microsecond; an upload that has ended keeps it."""
        file = stored_file(database, state=state)
        receiving = state is FileState.RECEIVING
        moved = attrs.evolve(file, touched_at=file.created_at + timedelta(seconds=61, microseconds=7))
        with database() as unit:
            assert unit.files.replace(moved, expected=FileState.RECEIVING) == receiving
            unit.commit()
        assert _get(database, file.id) == (moved if receiving else file)

    def test_concurrent_state_changes_one_succeeds(self, database: Database) -> None:
        """Of twelve concurrent changes out of one state exactly one succeeds."""
        file = stored_file(database, state=FileState.RECEIVING)

        def seal() -> bool:
            with database() as unit:
                succeeded = unit.files.replace(file.sealed(size=0, terms=file.terms), expected=FileState.RECEIVING)
                unit.commit()
            return succeeded

        assert race(seal).count(True) == 1

    def test_replace_outdated_read_keeps_later_touched_at(self, database: Database) -> None:
        """The later `touched_at` stays, because the owner was given an expiry time derived from it."""
        file = stored_file(database, state=FileState.RECEIVING)
        moved = attrs.evolve(file, touched_at=file.touched_at + timedelta(seconds=1))
        with database() as unit:
            assert unit.files.replace(moved, expected=FileState.RECEIVING)
            assert unit.files.replace(file, expected=FileState.RECEIVING)
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.files.get(file.id) == moved

    @pytest.mark.parametrize("state", FileState)
    def test_remove_applies_to_aborting_and_deleting_files_only(self, database: Database, state: FileState) -> None:
        """Such a file is removed with its parts and links; any other file is kept entirely."""
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
        removed = state in {FileState.ABORTING, FileState.DELETING}
        with database(read_only=True) as unit:
            assert (unit.files.get(file.id) is None) == removed
            assert unit.manifests.totals(file.id) == ((0, 0) if removed else (2, 30))
            assert (unit.links.find(link.token_digest) is None) == removed
            assert unit.files.get(kept.id) == kept
            assert unit.manifests.totals(kept.id) == (1, 5)
            assert unit.links.find(kept_link.token_digest) == kept_link


class ManifestsContract:
    """
    Contract suite of `Manifests`: parts appended once, and looked up by byte range.

    An adapter passes if every part is stored once per number, and `covering`, `tail`, `truncate` and `totals`
    return and change exactly the parts of the file.

    Fixtures:
        database: A new, empty unit-of-work factory.
    """

    def test_append_round_trip_keeps_every_field(self, database: Database) -> None:
        """Parts appended in one or several batches are returned by number, with every field."""
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

    def test_append_existing_number_is_conflict(self, database: Database) -> None:
        """A part with an existing number raises `Conflict`, and none of its batch is stored."""
        file = stored_file(database, 10)
        with database() as unit, pytest.raises(Conflict):
            unit.manifests.append(file.id, some_parts(file, 10, first=0))
        with database(read_only=True) as unit:
            assert unit.manifests.totals(file.id) == (1, 10)

    @pytest.mark.parametrize("sizes", [(10, 1, 20, 5), (10, 0, 20, 0), (0,), (7,)])
    def test_covering_returns_the_parts_overlapping_the_span(self, database: Database, sizes: tuple[int, ...]) -> None:
        """For every span and limit the first parts with a byte of it are returned, in order."""
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
                        overlapping = [part for part in parts if _overlaps(part, span)]
                        assert list(unit.manifests.covering(file.id, span, limit=9)) == overlapping
                        assert list(unit.manifests.covering(file.id, span, limit=1)) == overlapping[:1]

    def test_tail_returns_the_last_parts(self, database: Database) -> None:
        """At most `limit` parts are returned, in order; all of them if there are no more."""
        file = stored_file(database)
        parts = some_parts(file, 10, 0, 30)
        with database() as unit:
            unit.manifests.append(file.id, parts)
            unit.commit()
        with database(read_only=True) as unit:
            for limit in (1, 2, 3, 9):
                assert list(unit.manifests.tail(file.id, limit=limit)) == parts[-limit:]
            assert list(unit.manifests.tail(FileId(file.owner.value), limit=9)) == []

    def test_truncate_removes_the_parts_from_a_number_on(self, database: Database) -> None:
        """Earlier parts stay and new ones can follow; another file's parts are unchanged."""
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

    def test_manifests_of_different_files_are_independent(self, database: Database) -> None:
        """Each file has its own parts; an unknown file has none."""
        file, other = stored_file(database, 10), stored_file(database, 20, 30)
        with database(read_only=True) as unit:
            assert unit.manifests.totals(file.id) == (1, 10)
            assert unit.manifests.totals(other.id) == (2, 50)
            assert unit.manifests.totals(FileId(file.owner.value)) == (0, 0)
            assert list(unit.manifests.covering(FileId(file.owner.value), ByteRange(0, 9), limit=9)) == []


def _overlaps(part: Part, span: ByteRange) -> bool:
    return any(span.start <= byte < span.stop for byte in range(part.start, part.start + part.size))
