"""
Units of work: each has one connection and transaction, released on every exit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from sqlalchemy import Connection, Engine, RootTransaction

from sft_adapters.sql.errors import map_database_errors
from sft_adapters.sql.files import SqlFiles
from sft_adapters.sql.idempotency import SqlIdempotencyRecords
from sft_adapters.sql.integrity import SqlIntegrityRows
from sft_adapters.sql.links import SqlLinks
from sft_adapters.sql.maintenance import SqlInventory, SqlQuotaAudit, SqlReclaimableFiles
from sft_adapters.sql.manifests import SqlManifests
from sft_adapters.sql.quotas import SqlQuotas
from sft_adapters.sql.store_identity import SqlStoreIdentity
from sft_adapters.sql.transactions import transaction
from sft_adapters.sql.uploads import SqlResumableUploads
from sft_adapters.sql.users import SqlUsers
from sft_core.errors import DatabaseUnavailable


class SqlUnit:
    """
    Implements the units of work of users, vault, sharing and maintenance.
    """

    def __init__(self, connection: Connection, tx: RootTransaction, *, read_only: bool) -> None:
        self._tx = tx
        self._read_only = read_only
        self.users = SqlUsers(connection)
        self.files = SqlFiles(connection)
        self.manifests = SqlManifests(connection)
        self.uploads = SqlResumableUploads(connection)
        self.quotas = SqlQuotas(connection)
        self.links = SqlLinks(connection)
        self.idempotency_records = SqlIdempotencyRecords(connection)
        self.reclaimable = SqlReclaimableFiles(connection)
        self.store_identity = SqlStoreIdentity(connection)
        self.inventory = SqlInventory(connection)
        self.quota_audit = SqlQuotaAudit(connection)
        self.integrity_rows = SqlIntegrityRows(connection)

    def commit(self) -> None:
        if self._read_only or not self._tx.is_active:
            raise DatabaseUnavailable("the unit of work is read-only or has ended")
        with map_database_errors():
            self._tx.commit()


@attrs.frozen
class SqlDatabase:
    """
    Implements `sft_core.ports.UnitOfWorkFactory` for every kind of unit.
    """

    engine: Engine

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[SqlUnit]:
        with transaction(self.engine, read_only=read_only) as (connection, tx):
            yield SqlUnit(connection, tx, read_only=read_only)
