"""
Blobs in a folder pass the contract.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.testkit import contracts


class TestDiskBlobs(contracts.BlobStoreContract, contracts.IdentifiedBlobStoreContract):
    """
    Blobs and the store identity.
    """

    @pytest.fixture
    def blobs(self, tmp_path: Path) -> DiskBlobs:
        return DiskBlobs(tmp_path)

    @pytest.fixture
    def other_blobs(self, tmp_path: Path) -> DiskBlobs:
        return DiskBlobs(tmp_path)
