"""
Contract suites of the ports: subclass one, provide its fixtures, and run pytest.

Each test states one sentence of the port's contract in its docstring.

    class TestMyBlobs(BlobStoreContract):
        @pytest.fixture
        def blobs(self, tmp_path):
            return MyBlobs(tmp_path)
"""

from __future__ import annotations

import warnings
from typing import Any, Final

from sft_adapters.testkit.contracts.blobs import BlobStoreContract
from sft_adapters.testkit.contracts.ciphers import ContentCipherContract, PartReaderContract
from sft_adapters.testkit.contracts.files import FileRepositoryContract, ManifestsContract
from sft_adapters.testkit.contracts.idempotency import IdempotencyRecordsContract
from sft_adapters.testkit.contracts.integrity import IntegrityRowsContract
from sft_adapters.testkit.contracts.keyrings import KeyRingContract
from sft_adapters.testkit.contracts.leases import LeasesContract
from sft_adapters.testkit.contracts.links import LinkRepositoryContract
from sft_adapters.testkit.contracts.maintenance import InventoryContract, ReclaimableFilesContract
from sft_adapters.testkit.contracts.passwords import PasswordHasherContract
from sft_adapters.testkit.contracts.quota_audit import QuotaAuditContract
from sft_adapters.testkit.contracts.quotas import QuotaContract
from sft_adapters.testkit.contracts.rate_limiter import RateLimiterContract
from sft_adapters.testkit.contracts.retention import ExpiredLinkTokensContract
from sft_adapters.testkit.contracts.sessions import SessionStoreContract
from sft_adapters.testkit.contracts.signers import TokenSignerContract
from sft_adapters.testkit.contracts.store_identity import IdentifiedBlobStoreContract, StoreIdentityContract
from sft_adapters.testkit.contracts.system import ClockContract, EntropyContract, IdGeneratorContract
from sft_adapters.testkit.contracts.totp import QrEncoderContract, TotpProviderContract
from sft_adapters.testkit.contracts.units import UnitOfWorkContract
from sft_adapters.testkit.contracts.uploads import ResumableUploadsContract
from sft_adapters.testkit.contracts.users import UserRepositoryContract
from sft_adapters.testkit.contracts.wrapped_secrets import WrappedSecretsContract

__all__ = [
    "BlobStoreContract",
    "ClockContract",
    "ContentCipherContract",
    "EntropyContract",
    "ExpiredLinkTokensContract",
    "FileRepositoryContract",
    "IdGeneratorContract",
    "IdempotencyRecordsContract",
    "IdentifiedBlobStoreContract",
    "IntegrityRowsContract",
    "InventoryContract",
    "KeyRingContract",
    "LeasesContract",
    "LinkRepositoryContract",
    "ManifestsContract",
    "PartReaderContract",
    "PasswordHasherContract",
    "QrEncoderContract",
    "QuotaAuditContract",
    "QuotaContract",
    "RateLimiterContract",
    "ReclaimableFilesContract",
    "ResumableUploadsContract",
    "SessionStoreContract",
    "StoreIdentityContract",
    "TokenSignerContract",
    "TotpProviderContract",
    "UnitOfWorkContract",
    "UserRepositoryContract",
    "WrappedSecretsContract",
]

RENAMED: Final = {
    "IdsContract": "IdGeneratorContract",
    "KeptAnswersContract": "IdempotencyRecordsContract",
    "LedgerContract": "QuotaAuditContract",
    "LeftoversContract": "ReclaimableFilesContract",
    "LinksOverContract": "ExpiredLinkTokensContract",
    "MarkedStoreContract": "IdentifiedBlobStoreContract",
    "MarkedUnitContract": "StoreIdentityContract",
    "RecordsContract": "IntegrityRowsContract",
    "TotpCodesContract": "TotpProviderContract",
}
"""The contracts' old names and their new ones. The old names are removed in the next release."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 (a contract class)
    if name not in RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    message = f"{name} was renamed to {RENAMED[name]}; the old name is removed in the next release."
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    return globals()[RENAMED[name]]
