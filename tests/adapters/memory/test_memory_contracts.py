"""
The memory adapters pass every contract.
"""

from __future__ import annotations

import pytest

from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.leases import MemoryLeases
from sft_adapters.memory.rate_limiter import MemoryRateLimiter
from sft_adapters.memory.retention import MemoryExpiredLinkTokens
from sft_adapters.memory.sessions import MemorySessions
from sft_adapters.memory.wrapped_secrets import MemoryWrappedSecrets
from sft_adapters.testkit import contracts
from sft_adapters.testkit.contracts.examples import a_user
from sft_core.users.model import User


class _OnMemory:
    @pytest.fixture
    def database(self) -> MemoryDatabase:
        return MemoryDatabase()


class TestMemoryUnits(_OnMemory, contracts.UnitOfWorkContract):
    """
    Units of work.
    """


class TestMemoryUsers(_OnMemory, contracts.UserRepositoryContract):
    """
    Users.
    """


class TestMemoryFiles(_OnMemory, contracts.FileRepositoryContract):
    """
    Files.
    """


class TestMemoryManifests(_OnMemory, contracts.ManifestsContract):
    """
    Manifests.
    """


class TestMemoryLinks(_OnMemory, contracts.LinkRepositoryContract):
    """
    Links.
    """


class TestMemoryIdempotencyRecords(_OnMemory, contracts.IdempotencyRecordsContract):
    """
    Idempotency records.
    """


class TestMemoryResumableUploads(_OnMemory, contracts.ResumableUploadsContract):
    """
    Resumable uploads.
    """


class TestMemoryQuotas(_OnMemory, contracts.QuotaContract):
    """
    Quotas.
    """


class TestMemoryWrappedSecrets(_OnMemory, contracts.WrappedSecretsContract):
    """
    Wrapped secrets.
    """

    @pytest.fixture
    def wrapped(self, database: MemoryDatabase) -> MemoryWrappedSecrets:
        return MemoryWrappedSecrets(database)


class TestMemoryExpiredLinkTokens(_OnMemory, contracts.ExpiredLinkTokensContract):
    """
    Tokens of expired links.
    """

    @pytest.fixture
    def expired_link_tokens(self, database: MemoryDatabase) -> MemoryExpiredLinkTokens:
        return MemoryExpiredLinkTokens(database)


class TestMemoryReclaimableFiles(_OnMemory, contracts.ReclaimableFilesContract):
    """
    Reclaimable files.
    """


class TestMemoryInventory(_OnMemory, contracts.InventoryContract):
    """
    The inventory.
    """


class TestMemoryQuotaAudit(_OnMemory, contracts.QuotaAuditContract):
    """
    The quota audit.
    """


class TestMemoryIntegrityRows(_OnMemory, contracts.IntegrityRowsContract):
    """
    Integrity rows, in a database that does not enforce references.
    """


class TestMemoryLeases(contracts.LeasesContract):
    """
    Leases.
    """

    @pytest.fixture
    def leases(self) -> MemoryLeases:
        return MemoryLeases()


class TestMemorySessions(contracts.SessionStoreContract):
    """
    Sessions.
    """

    @pytest.fixture
    def sessions(self) -> MemorySessions:
        return MemorySessions()

    @pytest.fixture
    def user(self) -> User:
        return a_user()


class TestMemoryBlobs(contracts.BlobStoreContract):
    """
    Blobs.
    """

    @pytest.fixture
    def blobs(self) -> MemoryBlobs:
        return MemoryBlobs()


class TestMemoryStoreIdentity(contracts.IdentifiedBlobStoreContract):
    """
    The store identity of its blobs.
    """

    @pytest.fixture
    def blobs(self) -> MemoryBlobs:
        return MemoryBlobs()


class TestMemoryUnitStoreIdentity(_OnMemory, contracts.StoreIdentityContract):
    """
    The store identity of its rows.
    """


class TestMemoryRateLimiter(contracts.RateLimiterContract):
    """
    The rate limiter.
    """

    @pytest.fixture
    def limiter(self) -> MemoryRateLimiter:
        return MemoryRateLimiter()


class TestSettableClock(contracts.ClockContract):
    """
    A clock that tests set.
    """

    tells_the_present = False

    @pytest.fixture
    def clock(self) -> SettableClock:
        return SettableClock()
