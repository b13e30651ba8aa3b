"""
Shared fixtures of the crypto tests: repeatable entropy, and the official vectors.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

ROOT = Path(__file__).parents[3]
OFFICIAL = Path(os.environ.get("SFT_TEST_VECTORS") or ROOT.parent / "shared" / "vectors")
"""The folder of the official vectors, which are not part of this project."""

C2SP, GCM = "c2sp_chunked_encryption_aes_256_gcm_test.json", "aes_gcm_test.json"
HKDF, WRAP = "hkdf_sha512_test.json", "aes_wrap_test.json"


def is_valid(vector: Any) -> bool:
    return bool(vector["result"] == "valid")


def is_chunk_like(vector: Any) -> bool:
    """
    Whether the vector fits a chunk: a 256-bit key, a 12-byte nonce, no associated data.
    """
    return (vector["keySize"], len(vector["iv"]), vector["aad"]) == (256, 24, "")


# Fixture -> the vectors that it is parametrized with.
VECTORS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "c2sp_vector": (C2SP, lambda _: True),
    "c2sp_valid_vector": (C2SP, is_valid),
    "c2sp_keyed_vector": (C2SP, lambda vector: "HeaderFailure" not in vector["flags"]),
    "gcm_vector": (GCM, lambda _: True),
    "gcm_chunk_vector": (GCM, is_chunk_like),
    "hkdf_vector": (HKDF, lambda _: True),
    "wrap_vector": (WRAP, lambda _: True),
}


@attrs.define
class SeededEntropy:
    """
    Bytes that differ at each call and are the same in each run.
    """

    draws: int = 0

    def random_bytes(self, size: int) -> bytes:
        self.draws += 1
        return hashlib.shake_256(self.draws.to_bytes(8, "big")).digest(size)


@pytest.fixture(scope="session")
def entropy() -> SeededEntropy:
    return SeededEntropy()


@pytest.fixture(scope="session")
def reader() -> ModuleType:
    """
    The documentation's stand-alone reader, as a module.
    """
    spec = importlib.util.spec_from_file_location("sft_reader", ROOT / "docs" / "reference" / "sft_reader.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """
    Parametrize tests with official vectors, or skip them by file name if the vectors are absent.
    """
    for fixture, (file_name, wanted) in VECTORS.items():
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, official(file_name, wanted))


def official(file_name: str, wanted: Callable[[Any], bool]) -> list[Any]:
    path = OFFICIAL / file_name
    if not path.exists():
        absent = f"there is no {file_name} in {OFFICIAL}; SFT_TEST_VECTORS names another folder"
        return [pytest.param(None, id=file_name, marks=pytest.mark.skip(reason=absent))]
    groups = json.loads(path.read_text())["testGroups"]
    vectors = [{"keySize": group.get("keySize"), **test} for group in groups for test in group["tests"]]
    return [pytest.param(vector, id=str(vector["tcId"])) for vector in vectors if wanted(vector)]
