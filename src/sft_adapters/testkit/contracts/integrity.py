"""
The contract of `sft_core.maintenance.ports.IntegrityRows`.
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
from sft_core.maintenance.ports import IntegrityRow, RowKind
from sft_core.values import FileId, LinkId
from sft_core.vault.model import ResumableUpload


def _all_rows(database: Database, kind: RowKind, limit: int = 9) -> list[IntegrityRow]:
    """
    Return every row of a kind, read in pages.
    """
    found: list[IntegrityRow] = []
    with database(read_only=True) as unit:
        while page := unit.integrity_rows.page(kind, after=found[-1].id if found else None, limit=limit):
            assert len(page) <= limit
            assert {row.kind for row in page} == {kind}
            found += page
    return found


def _store_one_of_every_kind(database: Database) -> dict[RowKind, UUID]:
    """
    Store a user, an upload with reserved quota, and a link; return the row ids.
    """
    owner = stored_user(database)
    file = holding_file(database, owner, 5)
    link = a_link(file)
    with database() as unit:
        unit.uploads.add(ResumableUpload(file_id=file.id))
        unit.links.add(link)
        unit.commit()
    ids = {RowKind.FILE: file.id, RowKind.UPLOAD: file.id, RowKind.LINK: link.id}
    return {kind: row.value for kind, row in {**ids, RowKind.USAGE: owner.id, RowKind.USER: owner.id}.items()}


class IntegrityRowsContract:
    """
    Contract suite of `IntegrityRows`: paging, dangling references, wrapped secrets.

    An adapter passes if it returns every row of a kind once, by id, and names every referenced row that is
    missing.

    Fixtures:
        database: A new, empty unit-of-work factory that accepts rows with dangling references.
    """

    @pytest.mark.parametrize("limit", [1, 2, 100])
    @pytest.mark.parametrize("kind", RowKind)
    def test_page_returns_every_row_once(self, database: Database, kind: RowKind, limit: int) -> None:
        """The rows of this kind are returned by id, page by page; intact rows miss nothing."""
        assert _all_rows(database, kind, limit) == []
        ids = [_store_one_of_every_kind(database)[kind] for _ in range(3)]
        found = _all_rows(database, kind, limit)
        assert [row.id for row in found] == sorted(ids)
        assert {row.missing for row in found} == {frozenset()}

    def test_page_names_missing_references(self, database: Database) -> None:
        """A missing file, account or both is named, also beside intact rows; a user row references nothing."""
        sound = _store_one_of_every_kind(database)
        owner = stored_user(database)
        orphan, upload = a_file(a_user()), FileId(uuid4())
        links = {
            LinkId(uuid4()): (a_file(owner), {"file"}),
            LinkId(uuid4()): (a_file(a_user()), {"file", "account"}),
            LinkId(uuid4()): (orphan, {"account"}),
        }
        with database() as unit:
            unit.files.add(orphan)
            assert unit.quotas.reserve(orphan.id, 5, limit=None)
            unit.uploads.add(ResumableUpload(file_id=upload))
            for link_id, (file, _) in links.items():
                unit.links.add(a_link(file, id=link_id))
            unit.commit()
        lacking: dict[RowKind, dict[UUID, set[str]]] = {
            RowKind.FILE: {orphan.id.value: {"account"}},
            RowKind.LINK: {link_id.value: lacks for link_id, (_, lacks) in links.items()},
            RowKind.UPLOAD: {upload.value: {"file"}},
            RowKind.USAGE: {orphan.owner.value: {"account"}},
            RowKind.USER: {owner.id.value: set()},
        }
        for kind in RowKind:
            found = {row.id: set(row.missing) for row in _all_rows(database, kind)}
            assert found == {sound[kind]: set(), **lacking[kind]}

    def test_page_returns_wrapped_tokens_and_seeds(self, database: Database) -> None:
        """Wrapped secrets are returned as stored; rows without one, and other kinds, have None."""
        owner, bare = stored_user(database), stored_user(database, totp=None)
        file = holding_file(database, owner, 5)
        link, spent = a_link(file), a_link(file, token=None)
        with database() as unit:
            unit.links.add(link)
            unit.links.add(spent)
            unit.commit()
        assert owner.totp is not None
        secrets = {
            RowKind.FILE: {file.id.value: None},
            RowKind.LINK: {link.id.value: link.token, spent.id.value: None},
            RowKind.USAGE: {owner.id.value: None},
            RowKind.USER: {owner.id.value: owner.totp.seed, bare.id.value: None},
        }
        for kind, expected in secrets.items():
            assert {row.id: row.secret for row in _all_rows(database, kind)} == expected

    @pytest.mark.parametrize("kind", RowKind)
    def test_get_returns_the_row_of_an_id(self, database: Database, kind: RowKind) -> None:
        """The row equals the one in a page; an id without a row of this kind returns None."""
        for _ in range(2):
            _store_one_of_every_kind(database)
        with database() as unit:
            unit.links.add(a_link(a_file(a_user())))
            unit.commit()
        found = _all_rows(database, kind)
        with database(read_only=True) as unit:
            assert [unit.integrity_rows.get(kind, row.id) for row in found] == found
            assert unit.integrity_rows.get(kind, uuid4()) is None
