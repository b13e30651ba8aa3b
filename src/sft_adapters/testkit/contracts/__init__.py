"""
Contract suites: subclass one, give its fixture, and every sentence of the port's docstring is tested.

    class TestMyBlobs(BlobStoreContract):
        @pytest.fixture
        def blobs(self, tmp_path):
            return MyBlobs(tmp_path)
"""

from sft_adapters.testkit.contracts.blobs import BlobStoreContract
from sft_adapters.testkit.contracts.files import FileRepositoryContract, ManifestsContract
from sft_adapters.testkit.contracts.limits import RateLimiterContract
from sft_adapters.testkit.contracts.links import LinkRepositoryContract
from sft_adapters.testkit.contracts.sessions import SessionStoreContract
from sft_adapters.testkit.contracts.units import UnitOfWorkContract
from sft_adapters.testkit.contracts.users import UserRepositoryContract

__all__ = [
    "BlobStoreContract",
    "FileRepositoryContract",
    "LinkRepositoryContract",
    "ManifestsContract",
    "RateLimiterContract",
    "SessionStoreContract",
    "UnitOfWorkContract",
    "UserRepositoryContract",
]
