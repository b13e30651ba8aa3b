"""
The crypto adapters pass every contract.
"""

from __future__ import annotations

from typing import Any

import pytest

from sft_adapters.crypto.content import ChunkedCipher
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.crypto.passwords import Argon2Cost, Argon2idHasher
from sft_adapters.crypto.qr import QrPng
from sft_adapters.crypto.tokens import JwtSigner
from sft_adapters.crypto.totp import PyotpProvider
from sft_adapters.testkit import contracts
from sft_core.ports import Entropy
from sft_core.values import Secret

KEYS = [Secret(bytes([number]) * 32) for number in range(4)]


class TestAesKeyRing(contracts.KeyRingContract):
    """
    The key ring, with an old key beside the active one.
    """

    @pytest.fixture
    def keyring(self) -> AesKeyRing:
        return AesKeyRing(KEYS[0], (KEYS[1],))

    @pytest.fixture
    def other_keyring(self) -> AesKeyRing:
        return AesKeyRing(KEYS[2], (KEYS[3],))


class TestArgon2idHasher(contracts.PasswordHasherContract):
    """
    Password hashes.
    """

    @pytest.fixture
    def hasher(self, entropy: Entropy) -> Argon2idHasher:
        return Argon2idHasher(entropy=entropy, cost=Argon2Cost(memory_kib=1024))


class TestCrowdedArgon2idHasher(contracts.PasswordHasherContract):
    """
    Password hashes, one at a time and without waiting.
    """

    @pytest.fixture
    def hasher(self, entropy: Entropy) -> Argon2idHasher:
        return Argon2idHasher(entropy=entropy, cost=Argon2Cost(memory_kib=256), max_concurrent=1, wait_seconds=0)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
class TestJwtSigner(contracts.TokenSignerContract):
    """
    Signed tokens, by each algorithm.
    """

    @pytest.fixture
    def signer(self, algorithm: Any) -> JwtSigner:
        return JwtSigner(Secret(bytes(range(64))), algorithm)

    @pytest.fixture
    def other_signer(self, algorithm: Any) -> JwtSigner:
        return JwtSigner(Secret(bytes(range(1, 65))), algorithm)


class TestPyotpProvider(contracts.TotpProviderContract):
    """
    One-time codes.
    """

    @pytest.fixture
    def codes(self, entropy: Entropy) -> PyotpProvider:
        return PyotpProvider(entropy, "Secure File Transfer")


class TestQrPng(contracts.QrEncoderContract):
    """
    QR codes.
    """

    @pytest.fixture
    def qr(self) -> QrPng:
        return QrPng()


class TestChunkedCipher(contracts.ContentCipherContract):
    """
    Encrypting parts.
    """

    @pytest.fixture
    def cipher(self, entropy: Entropy) -> ChunkedCipher:
        return ChunkedCipher(entropy)


class TestChunkedReader(contracts.PartReaderContract):
    """
    Decrypting parts.
    """

    @pytest.fixture
    def cipher(self, entropy: Entropy) -> ChunkedCipher:
        return ChunkedCipher(entropy)
