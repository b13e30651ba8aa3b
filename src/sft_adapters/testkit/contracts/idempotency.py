"""
The contract of `sft_core.sharing.ports.IdempotencyRecords`.
"""

from __future__ import annotations

import os
from datetime import timedelta

import attrs
import pytest

from sft_adapters.testkit.contracts.examples import (
    NOW,
    Database,
    an_idempotency_record,
    race,
    stored_file,
    stored_user,
)
from sft_core.sharing.idempotency import IdempotencyRecord
from sft_core.vault.model import FileState

MOMENT = timedelta(microseconds=1)


def _keep(database: Database, record: IdempotencyRecord) -> bool:
    with database() as unit:
        kept = unit.idempotency_records.add(record, now=NOW)
        unit.commit()
    return kept


def _found(database: Database, record: IdempotencyRecord) -> IdempotencyRecord | None:
    with database(read_only=True) as unit:
        return unit.idempotency_records.find(record.key_digest, now=NOW)


class IdempotencyRecordsContract:
    """
    Give the fixture `database`.
    """

    @pytest.mark.parametrize("token_digest", [None, bytes(range(32))])
    def test_an_answer_comes_back_as_kept(self, database: Database, token_digest: bytes | None) -> None:
        """Every field survives; nothing is kept under another key."""
        record = an_idempotency_record(stored_user(database), token_digest=token_digest)
        assert _keep(database, record)
        assert _found(database, record) == record
        assert _found(database, attrs.evolve(record, key_digest=os.urandom(32))) is None

    def test_a_key_stands_for_one_answer(self, database: Database) -> None:
        """What is kept first stays: a second one under its key is refused, and changes nothing."""
        first = an_idempotency_record(stored_user(database))
        second = an_idempotency_record(stored_user(database), key_digest=first.key_digest)
        assert _keep(database, first)
        assert not _keep(database, second)
        assert _found(database, first) == first
        assert not _keep(database, first)

    def test_one_that_is_not_committed_is_none(self, database: Database) -> None:
        """Whoever did not come to the commit has left the key to others; the unit itself sees it."""
        record = an_idempotency_record(stored_user(database))
        with database() as unit:
            assert unit.idempotency_records.add(record, now=NOW)
            assert unit.idempotency_records.find(record.key_digest, now=NOW) == record
            assert not unit.idempotency_records.add(record, now=NOW)
        assert _found(database, record) is None
        assert _keep(database, record)

    def test_of_many_at_once_one_is_kept(self, database: Database) -> None:
        """Twelve with one key: one is told that it is kept, and that one is there."""
        owner = stored_user(database)
        first = an_idempotency_record(owner)

        def keep() -> IdempotencyRecord | None:
            record = an_idempotency_record(owner, key_digest=first.key_digest)
            return record if _keep(database, record) else None

        kept = [record for record in race(keep) if record is not None]
        assert kept == [_found(database, first)]

    def test_one_that_is_over_is_none(self, database: Database) -> None:
        """At its end, to the microsecond, a key stands for nothing, and whatever comes next replaces it."""
        owner = stored_user(database)
        over = an_idempotency_record(owner, expires_at=NOW)
        with database() as unit:
            assert unit.idempotency_records.add(over, now=NOW - MOMENT)
            assert unit.idempotency_records.find(over.key_digest, now=NOW - MOMENT) == over
            unit.commit()
        assert _found(database, over) is None
        following = an_idempotency_record(owner, key_digest=over.key_digest, token_digest=os.urandom(32))
        assert _keep(database, following)
        assert _found(database, over) == following

    def test_the_last_moment_counts(self, database: Database) -> None:
        """A microsecond before its end an answer is still kept."""
        record = an_idempotency_record(stored_user(database), expires_at=NOW + MOMENT)
        assert _keep(database, record)
        assert not _keep(database, an_idempotency_record(stored_user(database), key_digest=record.key_digest))
        assert _found(database, record) == record

    def test_it_outlives_its_file(self, database: Database) -> None:
        """When the file is removed the key still stands for it, so that it is not made again."""
        file = stored_file(database, state=FileState.ABORTING)
        record = an_idempotency_record(stored_user(database), file_id=file.id)
        assert _keep(database, record)
        with database() as unit:
            unit.files.remove(file.id)
            unit.commit()
        assert _found(database, record) == record
