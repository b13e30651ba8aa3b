"""
Contract suites: subclass one, give its fixture, and every sentence of the port's docstring is tested.

    class TestMyBlobs(BlobStoreContract):
        @pytest.fixture
        def blobs(self, tmp_path):
            return MyBlobs(tmp_path)
"""

from sft_adapters.testkit.contracts.answers import KeptAnswersContract
from sft_adapters.testkit.contracts.blobs import BlobStoreContract
from sft_adapters.testkit.contracts.ciphers import ContentCipherContract, PartReaderContract
from sft_adapters.testkit.contracts.files import FileRepositoryContract, ManifestsContract
from sft_adapters.testkit.contracts.keyrings import KeyRingContract
from sft_adapters.testkit.contracts.leases import LeasesContract
from sft_adapters.testkit.contracts.ledger import LedgerContract
from sft_adapters.testkit.contracts.limits import RateLimiterContract
from sft_adapters.testkit.contracts.links import LinkRepositoryContract
from sft_adapters.testkit.contracts.links_over import LinksOverContract
from sft_adapters.testkit.contracts.marks import MarkedStoreContract, MarkedUnitContract
from sft_adapters.testkit.contracts.passwords import PasswordHasherContract
from sft_adapters.testkit.contracts.quotas import QuotaContract
from sft_adapters.testkit.contracts.records import RecordsContract
from sft_adapters.testkit.contracts.sessions import SessionStoreContract
from sft_adapters.testkit.contracts.signers import TokenSignerContract
from sft_adapters.testkit.contracts.system import ClockContract, EntropyContract, IdsContract
from sft_adapters.testkit.contracts.totp import QrEncoderContract, TotpCodesContract
from sft_adapters.testkit.contracts.units import UnitOfWorkContract
from sft_adapters.testkit.contracts.upkeep import InventoryContract, LeftoversContract
from sft_adapters.testkit.contracts.uploads import ResumableUploadsContract
from sft_adapters.testkit.contracts.users import UserRepositoryContract
from sft_adapters.testkit.contracts.wrapped import WrappedSecretsContract

__all__ = [
    "BlobStoreContract",
    "ClockContract",
    "ContentCipherContract",
    "EntropyContract",
    "FileRepositoryContract",
    "IdsContract",
    "InventoryContract",
    "KeptAnswersContract",
    "KeyRingContract",
    "LeasesContract",
    "LedgerContract",
    "LeftoversContract",
    "LinkRepositoryContract",
    "LinksOverContract",
    "ManifestsContract",
    "MarkedStoreContract",
    "MarkedUnitContract",
    "PartReaderContract",
    "PasswordHasherContract",
    "QrEncoderContract",
    "QuotaContract",
    "RateLimiterContract",
    "RecordsContract",
    "ResumableUploadsContract",
    "SessionStoreContract",
    "TokenSignerContract",
    "TotpCodesContract",
    "UnitOfWorkContract",
    "UserRepositoryContract",
    "WrappedSecretsContract",
]
