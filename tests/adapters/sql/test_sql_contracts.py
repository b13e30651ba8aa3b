"""
The SQL adapters pass every contract, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.leases import SqlLeases
from sft_adapters.sql.rate_limiter import SqlRateLimiter
from sft_adapters.sql.retention import ExpiredLinkTokens
from sft_adapters.sql.sessions import SqlSessions
from sft_adapters.sql.wrapped_secrets import SqlWrappedSecrets
from sft_adapters.testkit import contracts
from sft_adapters.testkit.contracts.examples import stored_user
from sft_core.users.model import User


class TestSqlUnits(contracts.UnitOfWorkContract):
    """
    Units of work.
    """


class TestSqlUsers(contracts.UserRepositoryContract):
    """
    Users.
    """


class TestSqlFiles(contracts.FileRepositoryContract):
    """
    Files.
    """


class TestSqlManifests(contracts.ManifestsContract):
    """
    Manifests.
    """


class TestSqlLinks(contracts.LinkRepositoryContract):
    """
    Links.
    """


class TestSqlIdempotencyRecords(contracts.IdempotencyRecordsContract):
    """
    Idempotency records.
    """


class TestSqlResumableUploads(contracts.ResumableUploadsContract):
    """
    Resumable uploads.
    """


class TestSqlQuotas(contracts.QuotaContract):
    """
    Quotas.
    """


class TestSqlWrappedSecrets(contracts.WrappedSecretsContract):
    """
    Wrapped secrets.
    """

    @pytest.fixture
    def wrapped(self, engine: Engine) -> SqlWrappedSecrets:
        return SqlWrappedSecrets(engine)


class TestSqlExpiredLinkTokens(contracts.ExpiredLinkTokensContract):
    """
    Tokens of expired links.
    """

    @pytest.fixture
    def expired_link_tokens(self, engine: Engine) -> ExpiredLinkTokens:
        return ExpiredLinkTokens(engine)


class TestSqlReclaimableFiles(contracts.ReclaimableFilesContract):
    """
    Reclaimable files.
    """


class TestSqlStoreIdentity(contracts.StoreIdentityContract):
    """
    The store identity.
    """


class TestSqlInventory(contracts.InventoryContract):
    """
    The inventory.
    """


class TestSqlQuotaAudit(contracts.QuotaAuditContract):
    """
    The quota audit.
    """


class TestSqlIntegrityRows(contracts.IntegrityRowsContract):
    """
    Integrity rows, in a database that does not enforce references.
    """

    @pytest.fixture
    def database(self, unconstrained_engine: Engine) -> SqlDatabase:
        return SqlDatabase(unconstrained_engine)


class TestSqlLeases(contracts.LeasesContract):
    """
    Leases.
    """

    @pytest.fixture
    def leases(self, engine: Engine) -> SqlLeases:
        return SqlLeases(engine)


class TestSqlSessions(contracts.SessionStoreContract):
    """
    Sessions.
    """

    @pytest.fixture
    def sessions(self, engine: Engine) -> SqlSessions:
        return SqlSessions(engine)

    @pytest.fixture
    def other_sessions(self, other_engine: Engine) -> SqlSessions:
        return SqlSessions(other_engine)

    @pytest.fixture
    def user(self, database: SqlDatabase) -> User:
        return stored_user(database)


class TestSqlRateLimiter(contracts.RateLimiterContract):
    """
    The rate limiter.
    """

    @pytest.fixture
    def limiter(self, engine: Engine) -> SqlRateLimiter:
        return SqlRateLimiter(engine)

    @pytest.fixture
    def other_limiter(self, other_engine: Engine) -> SqlRateLimiter:
        return SqlRateLimiter(other_engine)
