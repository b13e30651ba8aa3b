"""
Broken repositories of idempotency records, based on the in-memory one.
"""

# ruff: noqa: ARG002 (what a broken adapter ignores is its bug)

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta

import attrs

from sft_adapters.memory.database import MemoryDatabase, MemoryUnit
from sft_adapters.memory.tables import Files, IdempotencyRecords, Tables
from sft_core.sharing.idempotency import IdempotencyRecord
from sft_core.values import FileId


class ReplacesRecords(IdempotencyRecords):
    """
    A second record under a key replaces the first, so the first result is lost.
    """

    def add(self, record: IdempotencyRecord, *, now: datetime) -> bool:
        kept = super().add(record, now=now)
        self.write().idempotency_records[record.key_digest] = record
        return kept


class IgnoresConflicts(IdempotencyRecords):
    """
    A conflicting insert returns True, so the resource is created twice.
    """

    def add(self, record: IdempotencyRecord, *, now: datetime) -> bool:
        super().add(record, now=now)
        return True


class NeverExpires(IdempotencyRecords):
    """
    An expired record is returned until a sweep deletes it.
    """

    def find(self, key_digest: bytes, *, now: datetime) -> IdempotencyRecord | None:
        return self.read().idempotency_records.get(key_digest)


class BlocksExpiredKeys(IdempotencyRecords):
    """
    An expired record is not found, but still blocks its key.
    """

    def add(self, record: IdempotencyRecord, *, now: datetime) -> bool:
        return record.key_digest not in self.read().idempotency_records and super().add(record, now=now)


class ExpiresASecondEarly(IdempotencyRecords):
    """
    Whole seconds are compared, so a record expires up to a second early.
    """

    def find(self, key_digest: bytes, *, now: datetime) -> IdempotencyRecord | None:
        return super().find(key_digest, now=now.replace(microsecond=0) + timedelta(seconds=1))


class DropsTheTokenDigest(IdempotencyRecords):
    """
    The file id is stored without the link's token digest.
    """

    def add(self, record: IdempotencyRecord, *, now: datetime) -> bool:
        return super().add(attrs.evolve(record, token_digest=None), now=now)


class RemovesTheRecordWithTheFile(Files):
    """
    A record is removed with its file, so a late retry creates the file again.
    """

    def remove(self, file_id: FileId) -> None:
        super().remove(file_id)
        tables = self.write()
        tables.idempotency_records = {
            key: record for key, record in tables.idempotency_records.items() if record.file_id != file_id
        }


class ReadsThenAdds(MemoryDatabase):
    """
    The check and the insert are two statements, so concurrent records are all added.
    """

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        if read_only:
            with super().__call__(read_only=True) as unit:
                yield unit
            return
        with closing(MemoryUnit(self._committed.copy(), self._merged)) as unit:
            yield unit

    _merging = threading.Lock()

    def _merged(self, tables: Tables) -> None:
        time.sleep(0.01)
        with self._merging:
            kept = {**self._committed.idempotency_records, **tables.idempotency_records}
            users = {**self._committed.users, **tables.users}
            self._publish(attrs.evolve(tables, idempotency_records=kept, users=users))
