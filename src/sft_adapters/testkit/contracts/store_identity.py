"""
The contracts of `sft_core.vault.ports.StoreIdentity`, for a blob store and a unit of work.
"""

from __future__ import annotations

from typing import ClassVar
from uuid import uuid4

import pytest

from sft_adapters.testkit.contracts.blobs import KEY, put
from sft_adapters.testkit.contracts.examples import Database, race
from sft_core.errors import BlobStoreUnavailable, DatabaseUnavailable
from sft_core.vault.ports import IdentifiedBlobStore


def _a_store_id() -> str:
    return uuid4().hex


class IdentifiedBlobStoreContract:
    """
    Contract suite of `StoreIdentity` for a blob store: a store id that is set once.

    An adapter passes if the first store id is never replaced, from any instance, and is not listed as a blob.
    `creates_atomically` has the meaning it has in `BlobStoreContract`.

    Fixtures:
        blobs: A new store without blobs and without a store id.
        other_blobs: Another instance on the same data, as in another process. Optional: by default it is the
            same instance, and state that an instance keeps to itself is not tested.
    """

    creates_atomically: ClassVar[bool] = True

    @pytest.fixture
    def other_blobs(self, blobs: IdentifiedBlobStore) -> IdentifiedBlobStore:
        """
        Return another instance on the same data; by default the same one.
        """
        return blobs

    def test_store_id_is_set_once(self, blobs: IdentifiedBlobStore, other_blobs: IdentifiedBlobStore) -> None:
        """The id is None at first; the first one set is returned to every later caller."""
        first = _a_store_id()
        assert (blobs.store_id(), other_blobs.store_id()) == (None, None)
        assert blobs.set_store_id(first) == first
        assert other_blobs.set_store_id(_a_store_id()) == blobs.set_store_id(_a_store_id()) == first
        assert (blobs.store_id(), other_blobs.store_id()) == (first, first)

    def test_concurrent_set_store_id_one_id_remains(
        self, blobs: IdentifiedBlobStore, other_blobs: IdentifiedBlobStore
    ) -> None:
        """
        One of the given ids remains, and every call returns it.

        Without `creates_atomically` only the results after all calls have ended must agree.
        """
        given: list[str] = []
        stores = iter([blobs, other_blobs] * 2)

        def attempt() -> str | None:
            store_id = _a_store_id()
            given.append(store_id)
            try:
                return next(stores).set_store_id(store_id)
            except BlobStoreUnavailable:
                if self.creates_atomically:
                    raise
                return None

        results = race(attempt, 4)
        assert blobs.store_id() in given
        assert blobs.store_id() == other_blobs.store_id() == blobs.set_store_id(_a_store_id())
        assert set(results) == {blobs.store_id()} or not self.creates_atomically

    def test_store_id_is_not_a_blob(self, blobs: IdentifiedBlobStore) -> None:
        """The store id is not listed as a blob, and remains after the last blob is deleted."""
        store_id = blobs.set_store_id(_a_store_id())
        assert list(blobs.list()) == []
        put(blobs, KEY, b"content")
        assert [info.key for info in blobs.list()] == [KEY]
        blobs.delete(KEY)
        assert list(blobs.list()) == []
        assert blobs.store_id() == store_id


class StoreIdentityContract:
    """
    Contract suite of `StoreIdentity` for a unit of work: a store id set once.

    An adapter passes if the first committed store id is never replaced.

    Fixtures:
        database: A new, empty unit-of-work factory.
    """

    def test_store_id_is_set_once(self, database: Database) -> None:
        """The id is None at first; the first one set is returned to every later caller."""
        first = _a_store_id()
        with database() as unit:
            assert unit.store_identity.store_id() is None
            assert unit.store_identity.set_store_id(first) == first
            unit.commit()
        with database() as unit:
            assert unit.store_identity.set_store_id(_a_store_id()) == first
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.store_identity.store_id() == first

    def test_uncommitted_store_id_is_absent(self, database: Database) -> None:
        """Without a commit there is no id, and a read-only unit cannot set one."""
        with database() as unit:
            unit.store_identity.set_store_id(_a_store_id())
        with pytest.raises(DatabaseUnavailable), database(read_only=True) as unit:
            unit.store_identity.set_store_id(_a_store_id())
        with database(read_only=True) as unit:
            assert unit.store_identity.store_id() is None

    def test_concurrent_set_store_id_one_id_remains(self, database: Database) -> None:
        """Every concurrent call returns the id that remains."""

        def attempt() -> str:
            with database() as unit:
                store_id = unit.store_identity.set_store_id(_a_store_id())
                unit.commit()
            return store_id

        results = race(attempt, 4)
        with database(read_only=True) as unit:
            assert set(results) == {unit.store_identity.store_id()}
