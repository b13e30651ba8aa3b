"""
Blobs in a bucket of a real S3 server keep the contract.
"""

from __future__ import annotations

from sft_adapters.testkit import contracts


class TestMinioBlobs(contracts.BlobStoreContract):
    """
    Blobs.
    """

    creates_atomically = False
