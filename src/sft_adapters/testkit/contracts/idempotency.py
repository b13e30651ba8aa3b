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

MICROSECOND = timedelta(microseconds=1)


def _add(database: Database, record: IdempotencyRecord) -> bool:
    with database() as unit:
        added = unit.idempotency_records.add(record, now=NOW)
        unit.commit()
    return added


def _found(database: Database, record: IdempotencyRecord) -> IdempotencyRecord | None:
    with database(read_only=True) as unit:
        return unit.idempotency_records.find(record.key_digest, now=NOW)


class IdempotencyRecordsContract:
    """
    Contract suite of `IdempotencyRecords`: one record per key, until its expiry.

    An adapter passes if the first committed record of a key is kept until `expires_at`, every other `add`
    returns False, and an expired record is neither found nor in the way of a new one.

    Fixtures:
        database: A new, empty unit-of-work factory.
    """

    @pytest.mark.parametrize("token_digest", [None, bytes(range(32))])
    def test_record_round_trip_keeps_every_field(self, database: Database, token_digest: bytes | None) -> None:
        """Every field is stored; another key has no record."""
        record = an_idempotency_record(stored_user(database), token_digest=token_digest)
        assert _add(database, record)
        assert _found(database, record) == record
        assert _found(database, attrs.evolve(record, key_digest=os.urandom(32))) is None

    def test_add_under_a_used_key_is_refused(self, database: Database) -> None:
        """The first record stays: a second one under its key is refused and changes nothing."""
        first = an_idempotency_record(stored_user(database))
        second = an_idempotency_record(stored_user(database), key_digest=first.key_digest)
        assert _add(database, first)
        assert not _add(database, second)
        assert _found(database, first) == first
        assert not _add(database, first)

    def test_uncommitted_record_leaves_the_key_free(self, database: Database) -> None:
        """A record that was rolled back is visible to its own unit only."""
        record = an_idempotency_record(stored_user(database))
        with database() as unit:
            assert unit.idempotency_records.add(record, now=NOW)
            assert unit.idempotency_records.find(record.key_digest, now=NOW) == record
            assert not unit.idempotency_records.add(record, now=NOW)
        assert _found(database, record) is None
        assert _add(database, record)

    def test_concurrent_adds_of_one_key_one_succeeds(self, database: Database) -> None:
        """Of twelve concurrent records under one key exactly one is added, and that one is found."""
        owner = stored_user(database)
        first = an_idempotency_record(owner)

        def add_record() -> IdempotencyRecord | None:
            record = an_idempotency_record(owner, key_digest=first.key_digest)
            return record if _add(database, record) else None

        added = [record for record in race(add_record) if record is not None]
        assert added == [_found(database, first)]

    def test_expired_record_is_absent_and_replaced(self, database: Database) -> None:
        """From its expiry on, to the microsecond, a record is not found, and the next one replaces it."""
        owner = stored_user(database)
        expired = an_idempotency_record(owner, expires_at=NOW)
        with database() as unit:
            assert unit.idempotency_records.add(expired, now=NOW - MICROSECOND)
            assert unit.idempotency_records.find(expired.key_digest, now=NOW - MICROSECOND) == expired
            unit.commit()
        assert _found(database, expired) is None
        following = an_idempotency_record(owner, key_digest=expired.key_digest, token_digest=os.urandom(32))
        assert _add(database, following)
        assert _found(database, expired) == following

    def test_record_before_expiry_is_found(self, database: Database) -> None:
        """One microsecond before its expiry a record still occupies its key."""
        record = an_idempotency_record(stored_user(database), expires_at=NOW + MICROSECOND)
        assert _add(database, record)
        assert not _add(database, an_idempotency_record(stored_user(database), key_digest=record.key_digest))
        assert _found(database, record) == record

    def test_record_outlives_its_file(self, database: Database) -> None:
        """Removing the file keeps the record, so a repeated request does not create the file again."""
        file = stored_file(database, state=FileState.ABORTING)
        record = an_idempotency_record(stored_user(database), file_id=file.id)
        assert _add(database, record)
        with database() as unit:
            unit.files.remove(file.id)
            unit.commit()
        assert _found(database, record) == record
