"""
The contract of `sft_core.sharing.ports.LinkRepository`.
"""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from sft_adapters.testkit.contracts.examples import NOW, RACERS, Database, a_link, race, stored_file
from sft_core.sharing.model import ShareLink
from sft_core.values import LinkId


def stored_link(database: Database, **changes: object) -> ShareLink:
    """
    Store a link and return it.
    """
    link = a_link(stored_file(database), **changes)
    with database() as unit:
        unit.links.add(link)
        unit.commit()
    return link


def _consume(database: Database, link_id: LinkId) -> bool:
    with database() as unit:
        consumed = unit.links.consume_download(link_id, now=NOW)
        unit.commit()
    return consumed


def _found(database: Database, link: ShareLink) -> ShareLink | None:
    with database(read_only=True) as unit:
        return unit.links.find(link.token_digest)


class LinkRepositoryContract:
    """
    Contract suite of `LinkRepository`: exact download budgets, exact expiry, final revocation.

    An adapter passes if a link grants exactly as many downloads as its budget allows, under any concurrency,
    and none once it has expired or was revoked.

    Fixtures:
        database: A new, empty unit-of-work factory.
    """

    def test_link_round_trip_keeps_every_field(self, database: Database) -> None:
        """Every field is stored; an unknown digest is None."""
        for changes in ({}, {"max_downloads": 2**31 - 1, "downloads": 4, "revoked_at": NOW}):
            link = stored_link(database, **changes)
            assert _found(database, link) == link
        assert _found(database, a_link(stored_file(database))) is None

    def test_of_files_returns_their_links_newest_first(self, database: Database) -> None:
        """The links of the given files, and of no others, are returned; no files have no links."""
        file, other = stored_file(database), stored_file(database)
        links = [a_link(file, created_at=NOW + timedelta(seconds=step)) for step in (1, 3, 2)]
        links += [a_link(other), a_link(stored_file(database))]
        with database() as unit:
            for link in links:
                unit.links.add(link)
            unit.commit()
        newest_first = sorted(links[:4], key=lambda link: (link.created_at, link.id), reverse=True)
        with database(read_only=True) as unit:
            assert list(unit.links.of_files([file.id, other.id])) == newest_first
            assert list(unit.links.of_files([])) == []

    @pytest.mark.parametrize("budget", [1, 5, RACERS, None])
    def test_concurrent_downloads_consume_exactly_the_budget(self, database: Database, budget: int | None) -> None:
        """Of twelve concurrent calls exactly as many succeed as the budget allows."""
        link = stored_link(database, max_downloads=budget)
        allowed = RACERS if budget is None else budget
        assert race(lambda: _consume(database, link.id)).count(True) == allowed
        assert _found(database, link) == attrs.evolve(link, downloads=allowed)

    @pytest.mark.parametrize(
        "changes",
        [{"revoked_at": NOW - timedelta(hours=1)}, {"expires_at": NOW}, {"max_downloads": 2, "downloads": 2}],
    )
    def test_consume_download_of_an_ended_link_is_refused(self, database: Database, changes: dict[str, object]) -> None:
        """A revoked, expired or spent link is left unchanged; an unknown link returns False as well."""
        link = stored_link(database, **changes)
        assert not _consume(database, link.id)
        assert _found(database, link) == link
        assert not _consume(database, a_link(stored_file(database)).id)

    def test_consume_download_before_expiry_succeeds(self, database: Database) -> None:
        """One microsecond before its expiry a link still grants a download."""
        link = stored_link(database, expires_at=NOW + timedelta(microseconds=1))
        assert _consume(database, link.id)

    def test_revoke_is_final(self, database: Database) -> None:
        """The first revocation time stays; a second call, and one for an unknown link, change nothing."""
        link = stored_link(database)
        with database() as unit:
            assert unit.links.revoke(link.id, now=NOW)
            assert not unit.links.revoke(link.id, now=NOW + timedelta(hours=1))
            assert not unit.links.revoke(LinkId(link.owner.value), now=NOW)
            unit.commit()
        assert _found(database, link) == attrs.evolve(link, revoked_at=NOW)
