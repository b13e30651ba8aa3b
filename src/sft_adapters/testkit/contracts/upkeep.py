"""
The contracts of `sft_core.vault.upkeep_ports`: leftovers, the inventory, the sums behind quotas, and rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Final
from uuid import UUID, uuid4

import attrs
import pytest

from sft_adapters.testkit.contracts.examples import (
    NOW,
    RACERS,
    Database,
    a_file,
    a_link,
    a_user,
    race,
    some_parts,
    stored_file,
    stored_user,
)
from sft_core.errors import SftError
from sft_core.users.model import User
from sft_core.values import FileId, LinkId
from sft_core.vault.model import CONDEMNED, File, FileState, Part, ResumableUpload
from sft_core.vault.upkeep_ports import Drift, IdleSince, Record, RecordKind

TICK: Final = timedelta(microseconds=1)
LATER: Final = timedelta(hours=1)
SINCE: Final = IdleSince(resumable=NOW - LATER, single=NOW)


def _stored(database: Database, *files: File) -> list[File]:
    with database() as unit:
        for file in files:
            unit.files.add(file)
        unit.commit()
    return sorted(files, key=lambda file: file.id)


def _in_every_state(database: Database, owner: User, each: int = 3) -> list[File]:
    states = [attrs.evolve(a_file(owner), state=state) for state in FileState for _ in range(each)]
    return _stored(database, *(attrs.evolve(file, key=None) if file.state in CONDEMNED else file for file in states))


def _paged(look: Callable[[FileId | None, int], Sequence[FileId]], limit: int) -> list[FileId]:
    """
    Everything that there is, a page at a time.
    """
    found: list[FileId] = []
    while page := look(found[-1] if found else None, limit):
        assert len(page) <= limit
        found += page
    return found


class LeftoversContract:
    """
    Give the fixture `database`.
    """

    @pytest.mark.parametrize("limit", [1, 2, 100])
    def test_what_is_condemned_is_found(self, database: Database, limit: int) -> None:
        """Aborting and deleting files, by id, and no other; page by page all of them."""
        files = _in_every_state(database, stored_user(database))
        with database(read_only=True) as unit:
            found = _paged(lambda after, most: unit.leftovers.condemned(after=after, limit=most), limit)
        assert found == [file.id for file in files if file.state in CONDEMNED]

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
            found = _paged(lambda after, most: unit.leftovers.expired(by=NOW, after=after, limit=most), limit)
        assert found == [file.id for file in ended]

    @pytest.mark.parametrize("state", FileState)
    @pytest.mark.parametrize("end", [None, NOW - TICK, NOW, NOW + TICK])
    def test_only_what_has_expired_is_ended(self, database: Database, state: FileState, end: datetime | None) -> None:
        """Its key is destroyed with it; anything else stays as it is."""
        file = stored_file(database, state=state, expires_at=end)
        over = state is FileState.SEALED and end is not None and end <= NOW
        with database() as unit:
            assert unit.leftovers.expire(file.id, by=NOW, now=NOW + LATER) == over
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.files.get(file.id) == (file.condemned(NOW + LATER) if over else file)

    def test_who_moves_a_files_end_and_who_ends_it_are_not_both_right(self, database: Database) -> None:
        """Of a move and of twelve ends at once: the file is ended once, or it stays with its new end."""
        file = stored_file(database, state=FileState.SEALED, expires_at=NOW)
        moved, turns = attrs.evolve(file, expires_at=NOW + LATER), count()

        def run() -> str:
            with database() as unit:
                if next(turns) == 0:
                    won = "moved" if unit.files.replace(moved, expected=FileState.SEALED) else ""
                else:
                    won = "ended" if unit.leftovers.expire(file.id, by=NOW, now=NOW + LATER) else ""
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
            found = _paged(lambda after, most: unit.leftovers.idle(since=SINCE, after=after, limit=most), limit)
        assert found == [file.id for file in before]

    @pytest.mark.parametrize("is_resumable", [True, False])
    def test_what_may_be_gone_on_with_has_a_time_of_its_own(self, database: Database, *, is_resumable: bool) -> None:
        """To the microsecond, for a look and for giving up, of uploads that are resumable and of those that are not."""
        last = SINCE.resumable if is_resumable else SINCE.single
        owner = stored_user(database)
        over, alive = (a_file(owner, created_at=last - LATER, touched_at=at) for at in (last, last + TICK))
        _stored(database, over, alive)
        with database() as unit:
            if is_resumable:
                for file in (over, alive):
                    unit.uploads.add(ResumableUpload(file_id=file.id))
                unit.commit()
        with database() as unit:
            assert list(unit.leftovers.idle(since=SINCE, after=None, limit=9)) == [over.id]
            won = [unit.leftovers.give_up(file.id, since=SINCE, now=NOW + LATER) for file in (over, alive)]
            assert won == [True, False]

    def test_giving_up_destroys_the_key(self, database: Database) -> None:
        """An idle upload is aborting afterwards, without a key, and nothing else of it is changed."""
        (file,) = _stored(database, a_file(stored_user(database), touched_at=NOW))
        with database() as unit:
            assert unit.leftovers.give_up(file.id, since=SINCE, now=NOW + LATER)
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
            assert not unit.leftovers.give_up(file.id, since=SINCE, now=NOW + LATER)
            assert not unit.leftovers.give_up(FileId(file.owner.value), since=SINCE, now=NOW)
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.files.get(file.id) == file

    def test_of_many_that_give_up_one_wins(self, database: Database) -> None:
        """Of twelve at once, one; the others change nothing."""
        (file,) = _stored(database, a_file(stored_user(database), touched_at=NOW))

        def give_up() -> bool:
            with database() as unit:
                won = unit.leftovers.give_up(file.id, since=SINCE, now=NOW + LATER)
                unit.commit()
            return won

        assert race(give_up).count(True) == 1

    def test_recorded_are_the_keys_that_a_manifest_has(self, database: Database) -> None:
        """Of the keys asked for, and no other; none for none."""
        files = [stored_file(database, 3, 4), stored_file(database, 5)]
        with database(read_only=True) as unit:
            keys = [part.blob_key for file in files for part in unit.inventory.parts(file.id, after=-1, limit=9)]
            strangers = [files[0].blob_key(0, os.urandom(8)), a_file(a_user()).blob_key(1, os.urandom(8))]
            assert unit.leftovers.recorded([*strangers, *keys[1:]]) == frozenset(keys[1:])
            assert unit.leftovers.recorded(strangers) == unit.leftovers.recorded([]) == frozenset()

    def test_the_first_account_is_the_oldest(self, database: Database) -> None:
        """None while there is no account."""
        with database(read_only=True) as unit:
            assert unit.leftovers.first_account() is None
        for late in (2, 1, 3):
            stored_user(database, created_at=NOW + timedelta(days=late))
        with database(read_only=True) as unit:
            assert unit.leftovers.first_account() == NOW + timedelta(days=1)


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
            assert list(unit.inventory.stray_parts(after="", limit=9)) == []

    def test_a_header_has_its_place(self, database: Database) -> None:
        """The file and the part whose header it is; none for one that is nobody's, and none for none."""
        files = [stored_file(database, 1, 2), stored_file(database, 3, 4)]
        with database(read_only=True) as unit:
            places = {
                part.header: (file.id, part.number)
                for file in files
                for part in unit.inventory.parts(file.id, after=-1, limit=9)
            }
            assert unit.leftovers.places_of({*places, os.urandom(56)}) == places
            assert unit.leftovers.places_of({os.urandom(56)}) == unit.leftovers.places_of(()) == {}

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


def _holding(database: Database, owner: User, holding: int, **changes: object) -> File:
    file = a_file(owner, **changes)
    with database() as unit:
        unit.files.add(file)
        assert unit.quotas.hold(file.id, holding, limit=None)
        unit.commit()
    return file


def _drifts(database: Database) -> list[Drift]:
    with database(read_only=True) as unit:
        return list(unit.ledger.drifts())


class LedgerContract:
    """
    Give the fixture `database`.
    """

    def test_what_is_right_does_not_drift(self, database: Database) -> None:
        """Sealed files that hold their size, others that hold whatever they do, and owners of nothing."""
        stored_user(database)
        owner = stored_user(database)
        _holding(database, owner, 700)
        _holding(database, owner, 50, state=FileState.SEALED, size=50)
        assert _drifts(database) == []

    @pytest.mark.parametrize("held", [0, 49, 51])
    def test_a_drift_is_told_and_mended(self, database: Database, held: int) -> None:
        """A sealed file that holds other than its size: told with both sums, right again after a recount."""
        owner, other = stored_user(database), stored_user(database)
        _holding(database, owner, 700)
        _holding(database, owner, held, state=FileState.SEALED, size=50)
        _holding(database, other, 9)
        assert _drifts(database) == [Drift(owner=owner.id, counted=700 + held, due=750)]
        for _ in range(2):
            with database() as unit:
                unit.ledger.recount(owner.id)
                unit.commit()
            with database(read_only=True) as unit:
                assert (unit.quotas.used(owner.id), unit.quotas.used(other.id)) == (750, 9)
            assert _drifts(database) == []

    def test_errors_that_cancel_out_are_drifts_too(self, database: Database) -> None:
        """The sum is right, but two files hold what is not theirs: deleting one would take too much away."""
        owner = stored_user(database)
        _holding(database, owner, 40, state=FileState.SEALED, size=50)
        _holding(database, owner, 60, state=FileState.SEALED, size=50)
        assert _drifts(database) == [Drift(owner=owner.id, counted=100, due=100)]
        with database() as unit:
            unit.ledger.recount(owner.id)
            unit.commit()
        assert _drifts(database) == []

    def test_a_recount_beside_changes_counts_them(self, database: Database) -> None:
        """Holds, ends and recounts of one owner at once: afterwards nothing drifts."""
        owner = stored_user(database)
        _holding(database, owner, 3, state=FileState.SEALED, size=50)
        files = [_holding(database, owner, 10) for _ in range(RACERS)]
        numbers = count()

        def act() -> None:
            number = next(numbers)
            file = files[number]
            with database() as unit:
                if number % 3 == 0:
                    unit.ledger.recount(owner.id)
                elif number % 3 == 1:
                    assert unit.quotas.hold(file.id, 10 * number, limit=None)
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
        file = _holding(database, owner, 3, state=FileState.SEALED, size=50)
        with database() as unit:
            unit.ledger.recount(owner.id)
            assert unit.quotas.used(owner.id) == file.size
        with database(read_only=True) as unit, pytest.raises(SftError):
            unit.ledger.recount(owner.id)
        assert _drifts(database) == [Drift(owner=owner.id, counted=3, due=50)]


def _recorded(database: Database, kind: RecordKind, limit: int = 9) -> list[Record]:
    """
    Every row of a kind, a page at a time.
    """
    found: list[Record] = []
    with database(read_only=True) as unit:
        while page := unit.records.page(kind, after=found[-1].id if found else None, limit=limit):
            assert len(page) <= limit
            assert {record.kind for record in page} == {kind}
            found += page
    return found


def _one_of_every_kind(database: Database) -> dict[RecordKind, UUID]:
    """
    A user with an upload that holds some of the quota, and a link to it: the ids of their rows.
    """
    owner = stored_user(database)
    file = _holding(database, owner, 5)
    link = a_link(file)
    with database() as unit:
        unit.uploads.add(ResumableUpload(file_id=file.id))
        unit.links.add(link)
        unit.commit()
    ids = {RecordKind.FILE: file.id, RecordKind.UPLOAD: file.id, RecordKind.LINK: link.id}
    return {kind: row.value for kind, row in {**ids, RecordKind.USAGE: owner.id, RecordKind.USER: owner.id}.items()}


class RecordsContract:
    """
    Give the fixture `database`: one that takes rows though they name something that is not there.
    """

    @pytest.mark.parametrize("limit", [1, 2, 100])
    @pytest.mark.parametrize("kind", RecordKind)
    def test_every_row_is_found(self, database: Database, kind: RecordKind, limit: int) -> None:
        """Of this kind, by id, page by page; nothing lacks where everything is there."""
        assert _recorded(database, kind, limit) == []
        ids = [_one_of_every_kind(database)[kind] for _ in range(3)]
        found = _recorded(database, kind, limit)
        assert [record.id for record in found] == sorted(ids)
        assert {record.lacks for record in found} == {frozenset()}

    def test_what_a_row_names_and_is_not_there_is_told(self, database: Database) -> None:
        """A file, an account or both, beside rows that lack nothing; a user names nothing."""
        sound = _one_of_every_kind(database)
        owner = stored_user(database)
        orphan, upload = a_file(a_user()), FileId(uuid4())
        links = {
            LinkId(uuid4()): (a_file(owner), {"file"}),
            LinkId(uuid4()): (a_file(a_user()), {"file", "account"}),
            LinkId(uuid4()): (orphan, {"account"}),
        }
        with database() as unit:
            unit.files.add(orphan)
            assert unit.quotas.hold(orphan.id, 5, limit=None)
            unit.uploads.add(ResumableUpload(file_id=upload))
            for link_id, (file, _) in links.items():
                unit.links.add(a_link(file, id=link_id))
            unit.commit()
        lacking: dict[RecordKind, dict[UUID, set[str]]] = {
            RecordKind.FILE: {orphan.id.value: {"account"}},
            RecordKind.LINK: {link_id.value: lacks for link_id, (_, lacks) in links.items()},
            RecordKind.UPLOAD: {upload.value: {"file"}},
            RecordKind.USAGE: {orphan.owner.value: {"account"}},
            RecordKind.USER: {owner.id.value: set()},
        }
        for kind in RecordKind:
            found = {record.id: set(record.lacks) for record in _recorded(database, kind)}
            assert found == {sound[kind]: set(), **lacking[kind]}

    def test_tokens_and_seeds_are_told(self, database: Database) -> None:
        """As they are stored; where there is none, and of other rows, None."""
        owner, bare = stored_user(database), stored_user(database, totp=None)
        file = _holding(database, owner, 5)
        link, spent = a_link(file), a_link(file, token=None)
        with database() as unit:
            unit.links.add(link)
            unit.links.add(spent)
            unit.commit()
        assert owner.totp is not None
        secrets = {
            RecordKind.FILE: {file.id.value: None},
            RecordKind.LINK: {link.id.value: link.token, spent.id.value: None},
            RecordKind.USAGE: {owner.id.value: None},
            RecordKind.USER: {owner.id.value: owner.totp.seed, bare.id.value: None},
        }
        for kind, expected in secrets.items():
            assert {record.id: record.secret for record in _recorded(database, kind)} == expected

    @pytest.mark.parametrize("kind", RecordKind)
    def test_a_row_is_found_by_its_id(self, database: Database, kind: RecordKind) -> None:
        """The same as in a page; None for an id that no row of this kind has."""
        for _ in range(2):
            _one_of_every_kind(database)
        with database() as unit:
            unit.links.add(a_link(a_file(a_user())))
            unit.commit()
        found = _recorded(database, kind)
        with database(read_only=True) as unit:
            assert [unit.records.get(kind, record.id) for record in found] == found
            assert unit.records.get(kind, uuid4()) is None
