"""
Broken repositories of kept answers, planted in those in memory.
"""

# ruff: noqa: ARG002 (what a broken adapter ignores is its bug)

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import attrs

from sft_adapters.memory.database import MemoryDatabase, MemoryUnit
from sft_adapters.memory.tables import Files, IdempotencyRecords, Tables
from sft_core.sharing.idempotency import IdempotencyRecord
from sft_core.values import FileId


class KeepsTheLatest(IdempotencyRecords):
    """
    A second answer under a key replaces the first: what the client was told is forgotten.
    """

    def add(self, record: IdempotencyRecord, *, now: datetime) -> bool:
        kept = super().add(record, now=now)
        self.write().idempotency_records[record.key_digest] = record
        return kept


class AlwaysKept(IdempotencyRecords):
    """
    An insert that ignores the conflict and is taken for done: the thing is made twice.
    """

    def add(self, record: IdempotencyRecord, *, now: datetime) -> bool:
        super().add(record, now=now)
        return True


class NeverOver(IdempotencyRecords):
    """
    A key stands for its answer until a sweep comes by.
    """

    def find(self, key_digest: bytes, *, now: datetime) -> IdempotencyRecord | None:
        return self.read().idempotency_records.get(key_digest)


class BlocksWhenOver(IdempotencyRecords):
    """
    One that is over cannot be found, and cannot be replaced either.
    """

    def add(self, record: IdempotencyRecord, *, now: datetime) -> bool:
        return record.key_digest not in self.read().idempotency_records and super().add(record, now=now)


class EndsASecondEarly(IdempotencyRecords):
    """
    Whole seconds are compared, so the last moments do not count.
    """

    def find(self, key_digest: bytes, *, now: datetime) -> IdempotencyRecord | None:
        return super().find(key_digest, now=now.replace(microsecond=0) + timedelta(seconds=1))


class ForgetsTheLink(IdempotencyRecords):
    """
    The file is remembered, and the link that came with it is not.
    """

    def add(self, record: IdempotencyRecord, *, now: datetime) -> bool:
        return super().add(attrs.evolve(record, token_digest=None), now=now)


class GoesWithTheFile(Files):
    """
    An answer that is removed together with its file: a late repeat brings the file back.
    """

    def remove(self, file_id: FileId) -> None:
        super().remove(file_id)
        tables = self.write()
        tables.idempotency_records = {
            key: record for key, record in tables.idempotency_records.items() if record.file_id != file_id
        }


class LooksThenKeeps(MemoryDatabase):
    """
    Two statements where one has to decide: who looks at the same moment finds nothing, and all of them are kept.
    """

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        if read_only:
            yield from self._closing(MemoryUnit(self._committed, None))
            return
        yield from self._closing(MemoryUnit(self._committed.copy(), self._merged))

    _merging = threading.Lock()

    def _merged(self, tables: Tables) -> None:
        time.sleep(0.01)
        with self._merging:
            kept = {**self._committed.idempotency_records, **tables.idempotency_records}
            users = {**self._committed.users, **tables.users}
            self._publish(attrs.evolve(tables, idempotency_records=kept, users=users))
