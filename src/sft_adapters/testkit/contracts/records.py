"""
The contract of `sft_core.maintenance.ports.Records`: rows, one by one.
"""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from sft_adapters.testkit.contracts.examples import (
    Database,
    a_file,
    a_link,
    a_user,
    holding_file,
    stored_user,
)
from sft_core.maintenance.ports import Record, RecordKind
from sft_core.values import FileId, LinkId
from sft_core.vault.model import ResumableUpload


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
    file = holding_file(database, owner, 5)
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
        file = holding_file(database, owner, 5)
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
