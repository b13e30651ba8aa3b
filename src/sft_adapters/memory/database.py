"""
An in-memory database: one writer works on a copy, and readers see the last commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final

import attrs

from sft_adapters.memory.integrity import IntegrityRows
from sft_adapters.memory.maintenance import Inventory, QuotaAudit, ReclaimableFiles, StoreIdentity
from sft_adapters.memory.tables import (
    Files,
    IdempotencyRecords,
    Links,
    Manifests,
    Quotas,
    ResumableUploads,
    Snapshot,
    Tables,
    Users,
)
from sft_core.errors import DatabaseUnavailable

WRITER_WAIT_SECONDS: Final = 10.0


class MemoryUnit:
    """
    A unit of work on `tables`; `publish` commits them. Without `publish` the unit is read-only.
    """

    def __init__(self, tables: Tables, publish: Callable[[Tables], None] | None) -> None:
        self._tables: Tables | None = tables
        self._publish = publish
        self._writable = publish is not None
        self.users = Users(self._read, self._write)
        self.files = Files(self._read, self._write)
        self.manifests = Manifests(self._read, self._write)
        self.uploads = ResumableUploads(self._read, self._write)
        self.quotas = Quotas(self._read, self._write)
        self.links = Links(self._read, self._write)
        self.idempotency_records = IdempotencyRecords(self._read, self._write)
        self.reclaimable = ReclaimableFiles(self._read, self._write)
        self.store_identity = StoreIdentity(self._read, self._write)
        self.inventory = Inventory(self._read, self._write)
        self.quota_audit = QuotaAudit(self._read, self._write)
        self.integrity_rows = IntegrityRows(self._read, self._write)

    def commit(self) -> None:
        tables = self._write()
        if self._publish is None:
            raise DatabaseUnavailable("a unit of work commits once")
        self._publish(tables)
        self.close()

    def close(self) -> None:
        """
        End the unit; every later use of it raises `DatabaseUnavailable`.
        """
        self._tables = self._publish = None

    def _read(self) -> Tables:
        if self._tables is None:
            raise DatabaseUnavailable("the unit of work has ended")
        return self._tables

    def _write(self) -> Tables:
        if not self._writable:
            raise DatabaseUnavailable("the unit of work is read-only")
        return self._read()


@attrs.define
class MemoryDatabase:
    """
    Implements `sft_core.ports.UnitOfWorkFactory` for every kind of unit.

    Writers run one after another, so a conditional change has the same result as in a database. A writer waits up to 10
    seconds for the previous one. A reader sees the state at its start and no later commit.
    """

    _committed: Tables = attrs.field(factory=Tables, init=False)
    _writer: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        if read_only:
            with closing(MemoryUnit(self._committed, None)) as unit:
                yield unit
            return
        if not self._writer.acquire(timeout=WRITER_WAIT_SECONDS):
            raise DatabaseUnavailable("another unit of work occupies the database")
        try:
            with closing(MemoryUnit(self._committed.copy(), self._publish)) as unit:
                yield unit
        finally:
            self._writer.release()

    def snapshot(self) -> Snapshot:
        """
        Return the committed rows of every table, without waiting for a writer.
        """
        return self._committed.snapshot()

    def _publish(self, tables: Tables) -> None:
        self._committed = tables
