"""
The contract of `sft_core.vault.ports.ResumableUploads`.
"""

from __future__ import annotations

from uuid import uuid4

import pytest

from sft_adapters.testkit.contracts.examples import RACERS, Database, race, stored_file
from sft_core.errors import Conflict
from sft_core.values import FileId
from sft_core.vault.model import File, FileState, ResumableUpload, UploadKind

UNKNOWN = FileId(uuid4())


def _upload(database: Database, *, length: int | None = 10, state: FileState = FileState.RECEIVING) -> File:
    """
    Store a file with a resumable upload.
    """
    file = stored_file(database, state=state)
    with database() as unit:
        unit.uploads.add(ResumableUpload(file_id=file.id, length=length))
        unit.commit()
    return file


def _get(database: Database, file: File) -> ResumableUpload | None:
    with database(read_only=True) as unit:
        return unit.uploads.get(file.id)


class ResumableUploadsContract:
    """
    Contract suite of `ResumableUploads`: stored fields, fencing tokens, a length set once.

    An adapter passes if each `acquire` returns a token greater than all previous ones, only the greatest
    committed token of an upload is current, and a length is never changed once it is set.

    Fixtures:
        database: A new, empty unit-of-work factory.
    """

    @pytest.mark.parametrize("kind", UploadKind)
    @pytest.mark.parametrize("length", [None, 0, 2**62])
    def test_upload_round_trip_keeps_every_field(
        self, database: Database, kind: UploadKind, length: int | None
    ) -> None:
        """Every field is stored; an unknown upload is None."""
        file = stored_file(database, state=FileState.RECEIVING)
        sources = (FileId(uuid4()), FileId(uuid4()), UNKNOWN)
        plain = ResumableUpload(file_id=file.id, kind=kind, length=length)
        other = stored_file(database)
        full = ResumableUpload(
            file_id=other.id,
            kind=kind,
            length=length,
            is_public=True,
            metadata="filename YQ==",
            sources=sources,
            fencing_token=7,
        )
        with database() as unit:
            unit.uploads.add(plain)
            unit.uploads.add(full)
            unit.commit()
        assert (_get(database, file), _get(database, other)) == (plain, full)
        with database(read_only=True) as unit:
            assert unit.uploads.get(UNKNOWN) is None

    def test_add_second_upload_of_a_file_is_conflict(self, database: Database) -> None:
        """A second upload of one file raises `Conflict` and changes nothing."""
        file = _upload(database, length=10)
        with database() as unit, pytest.raises(Conflict):
            unit.uploads.add(ResumableUpload(file_id=file.id, length=11))
        assert _get(database, file) == ResumableUpload(file_id=file.id, length=10)

    def test_remove_file_removes_its_upload(self, database: Database) -> None:
        """Removing a file removes its upload and no other."""
        file, kept = _upload(database, state=FileState.ABORTING), _upload(database)
        with database() as unit:
            unit.files.remove(file.id)
            unit.commit()
        assert _get(database, file) is None
        assert _get(database, kept) is not None

    def test_latest_acquire_is_the_current_writer(self, database: Database) -> None:
        """Each `acquire` returns a new token; the latest is current, for its own upload only."""
        file, other = _upload(database), _upload(database)
        writers = []
        for _ in range(3):
            with database() as unit:
                writers.append(unit.uploads.acquire(file.id))
                unit.commit()
        assert len(set(writers)) == len(writers)
        assert None not in writers
        with database() as unit:
            current = [unit.uploads.is_current(file.id, fencing_token or 0) for fencing_token in writers]
            assert current == [False, False, True]
            assert not unit.uploads.is_current(other.id, writers[-1] or 0)
            assert not unit.uploads.is_current(UNKNOWN, 0)
            assert unit.uploads.acquire(UNKNOWN) is None

    def test_uncommitted_acquire_keeps_the_current_writer(self, database: Database) -> None:
        """If the unit is rolled back, the previous writer stays current."""
        file = _upload(database)
        with database() as unit:
            fencing_token = unit.uploads.acquire(file.id)
            unit.commit()
        with database() as unit:
            unit.uploads.acquire(file.id)
        with database() as unit:
            assert unit.uploads.is_current(file.id, fencing_token or 0)

    def test_concurrent_acquires_one_token_is_current(self, database: Database) -> None:
        """Concurrent callers get distinct tokens, and exactly one of them is current."""
        file = _upload(database)

        def acquire_token() -> int | None:
            with database() as unit:
                unit.files.replace(file, expected=FileState.RECEIVING)
                fencing_token = unit.uploads.acquire(file.id)
                unit.commit()
            return fencing_token

        writers = race(acquire_token)
        assert len(set(writers)) == RACERS
        with database() as unit:
            assert [unit.uploads.is_current(file.id, fencing_token or 0) for fencing_token in writers].count(True) == 1

    def test_set_length_succeeds_once(self, database: Database) -> None:
        """The first length stays, zero included; setting it for an unknown upload returns False."""
        for first in (0, 5):
            file = _upload(database, length=None)
            for length in (first, first, first + 1):
                with database() as unit:
                    before = unit.uploads.get(file.id)
                    fixed = unit.uploads.set_length(file.id, length)
                    assert fixed == (before is not None and before.length is None)
                    unit.commit()
            assert _get(database, file) == ResumableUpload(file_id=file.id, length=first)
        with database() as unit:
            assert not unit.uploads.set_length(UNKNOWN, 1)
