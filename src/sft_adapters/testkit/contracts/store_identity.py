"""
The contract of `sft_core.vault.ports.StoreIdentity`: of a blob store, and of a unit of work.
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
    Give the fixture `blobs`: a store without a blob and without a mark.

    `other_blobs` is another instance on the same data, as another process has one; without it the
    contract takes one instance for both. `creates_atomically` is that of `BlobStoreContract`.
    """

    creates_atomically: ClassVar[bool] = True

    @pytest.fixture
    def other_blobs(self, blobs: IdentifiedBlobStore) -> IdentifiedBlobStore:
        """
        Another instance on the same data; this default is the same one.
        """
        return blobs

    def test_a_mark_is_set_once(self, blobs: IdentifiedBlobStore, other_blobs: IdentifiedBlobStore) -> None:
        """There is none at first, and then the first one, whoever sets another and whoever looks."""
        first = _a_store_id()
        assert (blobs.store_id(), other_blobs.store_id()) == (None, None)
        assert blobs.set_store_id(first) == first
        assert other_blobs.set_store_id(_a_store_id()) == blobs.set_store_id(_a_store_id()) == first
        assert (blobs.store_id(), other_blobs.store_id()) == (first, first)

    def test_of_several_at_once_one_stays(self, blobs: IdentifiedBlobStore, other_blobs: IdentifiedBlobStore) -> None:
        """
        It is one that was set, and each is told it.

        Of a store that does not create atomically it is asked only that all agree when they are done.
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

        told = race(attempt, 4)
        assert blobs.store_id() in given
        assert blobs.store_id() == other_blobs.store_id() == blobs.set_store_id(_a_store_id())
        assert set(told) == {blobs.store_id()} or not self.creates_atomically

    def test_a_mark_is_no_blob(self, blobs: IdentifiedBlobStore) -> None:
        """No listing has it, and it stays when the last blob goes."""
        store_id = blobs.set_store_id(_a_store_id())
        assert list(blobs.list()) == []
        put(blobs, KEY, b"content")
        assert [info.key for info in blobs.list()] == [KEY]
        blobs.delete(KEY)
        assert list(blobs.list()) == []
        assert blobs.store_id() == store_id


class StoreIdentityContract:
    """
    Give the fixture `database`.
    """

    def test_a_mark_is_set_once(self, database: Database) -> None:
        """There is none at first, and then the first one."""
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

    def test_a_mark_is_there_with_its_commit(self, database: Database) -> None:
        """Without one there is none, and a unit that only reads sets none."""
        with database() as unit:
            unit.store_identity.set_store_id(_a_store_id())
        with pytest.raises(DatabaseUnavailable), database(read_only=True) as unit:
            unit.store_identity.set_store_id(_a_store_id())
        with database(read_only=True) as unit:
            assert unit.store_identity.store_id() is None

    def test_of_several_at_once_one_stays(self, database: Database) -> None:
        """Each is told it."""

        def attempt() -> str:
            with database() as unit:
                store_id = unit.store_identity.set_store_id(_a_store_id())
                unit.commit()
            return store_id

        told = race(attempt, 4)
        with database(read_only=True) as unit:
            assert set(told) == {unit.store_identity.store_id()}
