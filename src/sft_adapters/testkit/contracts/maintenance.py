"""
The contracts of `sft_core.maintenance.ports.ReclaimableFiles` and `Inventory`.
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


def _files_in_every_state(database: Database, owner: User, each: int = 3) -> list[File]:
    states = [attrs.evolve(a_file(owner), state=state) for state in FileState for _ in range(each)]
    return _stored(
        database, *(attrs.evolve(file, key=None) if file.state in DELETION_STATES else file for file in states)
    )


def _all_pages(list_page: Callable[[FileId | None, int], Sequence[FileId]], limit: int) -> list[FileId]:
    """
    Return everything, read in pages.
    """
    found: list[FileId] = []
    while page := list_page(found[-1] if found else None, limit):
        assert len(page) <= limit
        found += page
    return found


class ReclaimableFilesContract:
    """
    Contract suite of `ReclaimableFiles`: listings of expired and idle files, and conditional updates.

    An adapter passes if each listing returns exactly the matching files, by id and in pages, each update
    applies to a matching file only and destroys its key, and of concurrent updates one succeeds.

    Fixtures:
        database: A new, empty unit-of-work factory.
    """

    @pytest.mark.parametrize("limit", [1, 2, 100])
    def test_in_deletion_lists_aborting_and_deleting_files(self, database: Database, limit: int) -> None:
        """Aborting and deleting files, and no others, are listed by id, page by page."""
        files = _files_in_every_state(database, stored_user(database))
        with database(read_only=True) as unit:
            found = _all_pages(lambda after, most: unit.reclaimable.in_deletion(after=after, limit=most), limit)
        assert found == [file.id for file in files if file.state in DELETION_STATES]

    @pytest.mark.parametrize("limit", [1, 2, 100])
    def test_expired_lists_sealed_files_from_their_expiry_on(self, database: Database, limit: int) -> None:
        """Sealed files are listed from their expiry on, to the microsecond; other states never."""
        owner, sealed = stored_user(database), FileState.SEALED
        ended = _stored(database, *(a_file(owner, state=sealed, expires_at=NOW - late * TICK) for late in (0, 1, 2)))
        _stored(database, a_file(owner, state=sealed, expires_at=NOW + TICK), a_file(owner, state=sealed))
        for state in FileState:
            if state is not sealed:
                _stored(database, a_file(owner, state=state, expires_at=NOW))
        with database(read_only=True) as unit:
            found = _all_pages(lambda after, most: unit.reclaimable.expired(by=NOW, after=after, limit=most), limit)
        assert found == [file.id for file in ended]

    @pytest.mark.parametrize("state", FileState)
    @pytest.mark.parametrize("end", [None, NOW - TICK, NOW, NOW + TICK])
    def test_expire_applies_to_expired_files_only(
        self, database: Database, state: FileState, end: datetime | None
    ) -> None:
        """The key of an expired file is destroyed; any other file is left unchanged."""
        file = stored_file(database, state=state, expires_at=end)
        expired = state is FileState.SEALED and end is not None and end <= NOW
        with database() as unit:
            assert unit.reclaimable.expire(file.id, by=NOW, now=NOW + LATER) == expired
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.files.get(file.id) == (file.deleting(NOW + LATER) if expired else file)

    def test_concurrent_expire_and_new_expiry_one_succeeds(self, database: Database) -> None:
        """Concurrently the file either expires once or keeps its new expiry time, never both."""
        file = stored_file(database, state=FileState.SEALED, expires_at=NOW)
        moved, numbers = attrs.evolve(file, expires_at=NOW + LATER), count()

        def run() -> str:
            with database() as unit:
                if next(numbers) == 0:
                    changed = "moved" if unit.files.replace(moved, expected=FileState.SEALED) else ""
                else:
                    changed = "ended" if unit.reclaimable.expire(file.id, by=NOW, now=NOW + LATER) else ""
                unit.commit()
            return changed

        changed = sorted(filter(None, race(run)))
        with database(read_only=True) as unit:
            found = unit.files.get(file.id)
        assert found is not None
        expected_end = {"moved": (FileState.SEALED, NOW + LATER), "ended": (FileState.DELETING, NOW)}
        assert (found.state, found.expires_at) == expected_end["".join(changed)]

    @pytest.mark.parametrize("limit", [1, 2, 100])
    def test_idle_lists_uploads_without_recent_bytes(self, database: Database, limit: int) -> None:
        """Uploads idle since the cut-off time are listed, to the microsecond; other states never."""
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
            found = _all_pages(lambda after, most: unit.reclaimable.idle(since=SINCE, after=after, limit=most), limit)
        assert found == [file.id for file in before]

    @pytest.mark.parametrize("is_resumable", [True, False])
    def test_idle_uses_the_cutoff_of_the_upload_kind(self, database: Database, *, is_resumable: bool) -> None:
        """Listing and aborting use separate cut-offs for resumable and other uploads, to the microsecond."""
        last = SINCE.resumable if is_resumable else SINCE.non_resumable
        owner = stored_user(database)
        expired, active = (a_file(owner, created_at=last - LATER, touched_at=at) for at in (last, last + TICK))
        _stored(database, expired, active)
        with database() as unit:
            if is_resumable:
                for file in (expired, active):
                    unit.uploads.add(ResumableUpload(file_id=file.id))
                unit.commit()
        with database() as unit:
            assert list(unit.reclaimable.idle(since=SINCE, after=None, limit=9)) == [expired.id]
            changed = [unit.reclaimable.abort_idle(file.id, since=SINCE, now=NOW + LATER) for file in (expired, active)]
            assert changed == [True, False]

    def test_abort_idle_destroys_the_key(self, database: Database) -> None:
        """An idle upload becomes aborting, without a key, and is otherwise unchanged."""
        (file,) = _stored(database, a_file(stored_user(database), touched_at=NOW))
        with database() as unit:
            assert unit.reclaimable.abort_idle(file.id, since=SINCE, now=NOW + LATER)
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.files.get(file.id) == file.aborted(NOW + LATER)

    @pytest.mark.parametrize("state", list(FileState))
    def test_abort_idle_applies_to_idle_uploads_only(self, database: Database, state: FileState) -> None:
        """An upload with newer bytes, a file in another state and an unknown file are left unchanged."""
        late = NOW + TICK if state is FileState.RECEIVING else NOW
        file = a_file(stored_user(database), touched_at=late, state=state)
        _stored(database, file)
        with database() as unit:
            assert not unit.reclaimable.abort_idle(file.id, since=SINCE, now=NOW + LATER)
            assert not unit.reclaimable.abort_idle(FileId(file.owner.value), since=SINCE, now=NOW)
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.files.get(file.id) == file

    def test_concurrent_abort_idle_one_succeeds(self, database: Database) -> None:
        """Of twelve concurrent calls one succeeds; the others change nothing."""
        (file,) = _stored(database, a_file(stored_user(database), touched_at=NOW))

        def give_up() -> bool:
            with database() as unit:
                changed = unit.reclaimable.abort_idle(file.id, since=SINCE, now=NOW + LATER)
                unit.commit()
            return changed

        assert race(give_up).count(True) == 1

    def test_referenced_keys_returns_keys_in_manifests(self, database: Database) -> None:
        """Of the given keys only those in a manifest are returned; no keys return none."""
        files = [stored_file(database, 3, 4), stored_file(database, 5)]
        with database(read_only=True) as unit:
            keys = [part.blob_key for file in files for part in unit.inventory.parts(file.id, after=-1, limit=9)]
            strangers = [files[0].blob_key(0, os.urandom(8)), a_file(a_user()).blob_key(1, os.urandom(8))]
            assert unit.reclaimable.referenced_keys([*strangers, *keys[1:]]) == frozenset(keys[1:])
            assert unit.reclaimable.referenced_keys(strangers) == unit.reclaimable.referenced_keys([]) == frozenset()

    def test_parts_by_header_maps_header_to_part(self, database: Database) -> None:
        """A header maps to its file and part number; an unknown header, and no headers, map to nothing."""
        files = [stored_file(database, 1, 2), stored_file(database, 3, 4)]
        with database(read_only=True) as unit:
            places = {
                part.header: (file.id, part.number)
                for file in files
                for part in unit.inventory.parts(file.id, after=-1, limit=9)
            }
            assert unit.reclaimable.parts_by_header({*places, os.urandom(56)}) == places
            assert unit.reclaimable.parts_by_header({os.urandom(56)}) == unit.reclaimable.parts_by_header(()) == {}

    def test_oldest_account_created_at_is_the_earliest(self, database: Database) -> None:
        """The earliest creation time is returned; None if there is no account."""
        with database(read_only=True) as unit:
            assert unit.reclaimable.oldest_account_created_at() is None
        for late in (2, 1, 3):
            stored_user(database, created_at=NOW + timedelta(days=late))
        with database(read_only=True) as unit:
            assert unit.reclaimable.oldest_account_created_at() == NOW + timedelta(days=1)


class InventoryContract:
    """
    Contract suite of `Inventory`: complete listings of files, parts and key ids, in pages.

    An adapter passes if its pages together contain every file and every part exactly once, in order.

    Fixtures:
        database: A new, empty unit-of-work factory.
    """

    @pytest.mark.parametrize("limit", [1, 5, 100])
    def test_files_lists_every_file_once(self, database: Database, limit: int) -> None:
        """Files in any state and of any owner are listed by id, page by page."""
        files = [*_files_in_every_state(database, stored_user(database)), stored_file(database, 1)]
        with database(read_only=True) as unit:
            found = _all_pages(lambda after, most: unit.inventory.files(after=after, limit=most), limit)
        assert found == sorted(file.id for file in files)

    @pytest.mark.parametrize("limit", [1, 2, 100])
    def test_parts_lists_every_part_once(self, database: Database, limit: int) -> None:
        """A file's own parts are listed by number, page by page, empty parts included."""
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

    def test_dangling_part_keys_of_intact_manifests_is_empty(self, database: Database) -> None:
        """A manifest entry whose file row exists, in any state, is not dangling."""
        stored_file(database, 1, 2)
        stored_file(database, 3, state=FileState.RECEIVING)
        with database(read_only=True) as unit:
            assert list(unit.inventory.dangling_part_keys(after="", limit=9)) == []

    def test_key_ids_lists_keys_of_links_and_second_factors(self, database: Database) -> None:
        """Each key that wraps a link token or a TOTP seed is listed once."""
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
