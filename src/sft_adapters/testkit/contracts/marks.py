"""
The contract of `sft_core.vault.ports.Marked`: of a blob store, and of a unit of work.
"""

from __future__ import annotations

from typing import ClassVar
from uuid import uuid4

import pytest

from sft_adapters.testkit.contracts.blobs import KEY, put
from sft_adapters.testkit.contracts.examples import Database, race
from sft_core.errors import BlobStoreUnavailable, DatabaseUnavailable
from sft_core.vault.ports import MarkedStore


def _a_mark() -> str:
    return uuid4().hex


class MarkedStoreContract:
    """
    Give the fixture `blobs`: a store without a blob and without a mark.

    `other_blobs` is another instance on the same data, as another process has one; without it the
    contract takes one instance for both. `creates_atomically` is that of `BlobStoreContract`.
    """

    creates_atomically: ClassVar[bool] = True

    @pytest.fixture
    def other_blobs(self, blobs: MarkedStore) -> MarkedStore:
        """
        Another instance on the same data; this default is the same one.
        """
        return blobs

    def test_a_mark_is_set_once(self, blobs: MarkedStore, other_blobs: MarkedStore) -> None:
        """There is none at first, and then the first one, whoever sets another and whoever looks."""
        first = _a_mark()
        assert (blobs.mark(), other_blobs.mark()) == (None, None)
        assert blobs.set_mark(first) == first
        assert other_blobs.set_mark(_a_mark()) == blobs.set_mark(_a_mark()) == first
        assert (blobs.mark(), other_blobs.mark()) == (first, first)

    def test_of_several_at_once_one_stays(self, blobs: MarkedStore, other_blobs: MarkedStore) -> None:
        """
        It is one that was set, and each is told it.

        Of a store that does not create atomically it is asked only that all agree when they are done.
        """
        given: list[str] = []
        stores = iter([blobs, other_blobs] * 2)

        def attempt() -> str | None:
            mark = _a_mark()
            given.append(mark)
            try:
                return next(stores).set_mark(mark)
            except BlobStoreUnavailable:
                if self.creates_atomically:
                    raise
                return None

        told = race(attempt, 4)
        assert blobs.mark() in given
        assert blobs.mark() == other_blobs.mark() == blobs.set_mark(_a_mark())
        assert set(told) == {blobs.mark()} or not self.creates_atomically

    def test_a_mark_is_no_blob(self, blobs: MarkedStore) -> None:
        """No listing has it, and it stays when the last blob goes."""
        mark = blobs.set_mark(_a_mark())
        assert list(blobs.list()) == []
        put(blobs, KEY, b"content")
        assert [info.key for info in blobs.list()] == [KEY]
        blobs.delete(KEY)
        assert list(blobs.list()) == []
        assert blobs.mark() == mark


class MarkedUnitContract:
    """
    Give the fixture `database`.
    """

    def test_a_mark_is_set_once(self, database: Database) -> None:
        """There is none at first, and then the first one."""
        first = _a_mark()
        with database() as unit:
            assert unit.marked.mark() is None
            assert unit.marked.set_mark(first) == first
            unit.commit()
        with database() as unit:
            assert unit.marked.set_mark(_a_mark()) == first
            unit.commit()
        with database(read_only=True) as unit:
            assert unit.marked.mark() == first

    def test_a_mark_is_there_with_its_commit(self, database: Database) -> None:
        """Without one there is none, and a unit that only reads sets none."""
        with database() as unit:
            unit.marked.set_mark(_a_mark())
        with pytest.raises(DatabaseUnavailable), database(read_only=True) as unit:
            unit.marked.set_mark(_a_mark())
        with database(read_only=True) as unit:
            assert unit.marked.mark() is None

    def test_of_several_at_once_one_stays(self, database: Database) -> None:
        """Each is told it."""

        def attempt() -> str:
            with database() as unit:
                mark = unit.marked.set_mark(_a_mark())
                unit.commit()
            return mark

        told = race(attempt, 4)
        with database(read_only=True) as unit:
            assert set(told) == {unit.marked.mark()}
