"""
The contract of `sft_core.ports.ExpiringStore`, for the tokens of share links.
"""

from __future__ import annotations

import warnings
from datetime import timedelta

import attrs
import pytest

from sft_adapters.testkit.contracts.examples import (
    NOW,
    Database,
    a_link,
    an_idempotency_record,
    race,
    stored_file,
    stored_user,
)
from sft_core.ports import ExpiringStore
from sft_core.sharing.model import ShareLink

SECOND = timedelta(seconds=1)
LONG_LIVED = NOW + timedelta(days=9)


def _stored(database: Database, *links: ShareLink) -> None:
    with database() as unit:
        for link in links:
            unit.links.add(link)
        unit.commit()


def _found(database: Database, link: ShareLink) -> ShareLink:
    with database(read_only=True) as unit:
        found = unit.links.find(link.token_digest)
    assert found is not None
    return found


class ExpiredLinkTokensContract:
    """
    Contract suite of `ExpiringStore` for the wrapped tokens of expired and revoked links.

    An adapter passes if it deletes the token of each link that ended before the given time, keeps the link
    itself, and keeps every token that an unexpired idempotency record refers to.

    Fixtures:
        expired_link_tokens: The store.
        database: The units of work over the same rows, new and empty.
    """

    @pytest.fixture
    def expired_link_tokens(self, request: pytest.FixtureRequest) -> ExpiringStore:
        """
        Return the fixture under its old name, `links_over`, accepted until the next release.
        """
        warnings.warn("rename the fixture links_over to expired_link_tokens", DeprecationWarning, stacklevel=2)
        store: ExpiringStore = request.getfixturevalue("links_over")
        return store

    @pytest.mark.parametrize(
        "changes",
        [
            {"expires_at": NOW - SECOND},
            {"expires_at": LONG_LIVED, "revoked_at": NOW - SECOND, "downloads": 4, "max_downloads": 9},
            {"expires_at": NOW - SECOND, "revoked_at": LONG_LIVED},
        ],
        ids=["expired", "revoked", "expired and revoked later"],
    )
    def test_delete_expired_deletes_the_token_and_keeps_the_link(
        self, database: Database, expired_link_tokens: ExpiringStore, changes: dict[str, object]
    ) -> None:
        """The token is deleted once; the link keeps its state, its downloads and its reason for refusal."""
        link = a_link(stored_file(database), **changes)
        _stored(database, link)
        assert [expired_link_tokens.count_expired(before=NOW) for _ in range(2)] == [1, 1]
        assert _found(database, link) == link
        assert [expired_link_tokens.delete_expired(before=NOW, limit=9) for _ in range(2)] == [1, 0]
        assert expired_link_tokens.count_expired(before=NOW) == 0
        assert _found(database, link) == attrs.evolve(link, token=None)
        with database() as unit:
            assert not unit.links.consume_download(link.id, now=NOW)
            assert unit.links.of_files([link.file_id]) == [attrs.evolve(link, token=None)]
            unit.commit()

    def test_delete_expired_keeps_tokens_of_live_links(
        self, database: Database, expired_link_tokens: ExpiringStore
    ) -> None:
        """A link that ends at the given time, or later, keeps its token; so does a spent link."""
        file = stored_file(database)
        links = [
            a_link(file, expires_at=NOW),
            a_link(file, expires_at=LONG_LIVED),
            a_link(file, expires_at=LONG_LIVED, revoked_at=NOW),
            a_link(file, expires_at=LONG_LIVED, downloads=1, max_downloads=1),
        ]
        _stored(database, *links)
        assert (
            expired_link_tokens.count_expired(before=NOW)
            == expired_link_tokens.delete_expired(before=NOW, limit=9)
            == 0
        )
        assert [_found(database, link) for link in links] == links

    def test_delete_expired_keeps_tokens_of_idempotency_records(
        self, database: Database, expired_link_tokens: ExpiringStore
    ) -> None:
        """A token is kept until the record that refers to it expires; other expired links lose theirs."""
        file, owner = stored_file(database), stored_user(database)
        repeated, once_repeated, other = (a_link(file, expires_at=NOW - SECOND) for _ in range(3))
        _stored(database, repeated, once_repeated, other)
        ends = {repeated.token_digest: NOW, once_repeated.token_digest: NOW - SECOND / 1000, None: NOW}
        with database() as unit:
            for digest, end in ends.items():
                unit.idempotency_records.add(an_idempotency_record(owner, token_digest=digest, expires_at=end), now=NOW)
            unit.commit()
        assert expired_link_tokens.count_expired(before=NOW) == 2
        assert expired_link_tokens.delete_expired(before=NOW, limit=9) == 2
        assert _found(database, repeated) == repeated
        assert _found(database, once_repeated).token is _found(database, other).token is None

    def test_delete_expired_respects_the_limit(self, database: Database, expired_link_tokens: ExpiringStore) -> None:
        """A result below the limit means that none is left."""
        file = stored_file(database)
        _stored(database, *(a_link(file, expires_at=NOW - SECOND) for _ in range(5)))
        assert [expired_link_tokens.delete_expired(before=NOW, limit=2) for _ in range(4)] == [2, 2, 1, 0]

    def test_concurrent_delete_expired_counts_each_once(
        self, database: Database, expired_link_tokens: ExpiringStore
    ) -> None:
        """Twelve concurrent calls together delete five tokens."""
        file = stored_file(database)
        _stored(database, *(a_link(file, expires_at=NOW - SECOND) for _ in range(5)))
        assert sum(race(lambda: expired_link_tokens.delete_expired(before=NOW, limit=9))) == 5
        assert expired_link_tokens.count_expired(before=NOW) == 0
