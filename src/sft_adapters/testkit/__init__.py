"""
Test kit: contract suites for adapters, strategies, state machines, drivers, and test vectors.

The names in `__all__` are stable (docs/reference/testkit). Each is loaded at its first use.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sft_adapters.testkit import contracts, drivers, machines, strategies, vectors
    from sft_adapters.testkit.contracts import (
        BlobStoreContract,
        ClockContract,
        ContentCipherContract,
        EntropyContract,
        ExpiredLinkTokensContract,
        FileRepositoryContract,
        IdempotencyRecordsContract,
        IdentifiedBlobStoreContract,
        IdGeneratorContract,
        IntegrityRowsContract,
        InventoryContract,
        KeyRingContract,
        LeasesContract,
        LinkRepositoryContract,
        ManifestsContract,
        PartReaderContract,
        PasswordHasherContract,
        QrEncoderContract,
        QuotaAuditContract,
        QuotaContract,
        RateLimiterContract,
        ReclaimableFilesContract,
        ResumableUploadsContract,
        SessionStoreContract,
        StoreIdentityContract,
        TokenSignerContract,
        TotpProviderContract,
        UnitOfWorkContract,
        UserRepositoryContract,
        WrappedSecretsContract,
    )
    from sft_adapters.testkit.drivers import Driver, HttpDriver, LibraryDriver, Refused
    from sft_adapters.testkit.machines import BrokenClause, Clause, blob_machine, budget, system_machine

# An assertion of a contract then shows the compared values in every test suite that runs it.
pytest.register_assert_rewrite(f"{__name__}.contracts")

__all__ = [
    "BlobStoreContract",
    "BrokenClause",
    "Clause",
    "ClockContract",
    "ContentCipherContract",
    "Driver",
    "EntropyContract",
    "ExpiredLinkTokensContract",
    "FileRepositoryContract",
    "HttpDriver",
    "IdGeneratorContract",
    "IdempotencyRecordsContract",
    "IdentifiedBlobStoreContract",
    "IntegrityRowsContract",
    "InventoryContract",
    "KeyRingContract",
    "LeasesContract",
    "LibraryDriver",
    "LinkRepositoryContract",
    "ManifestsContract",
    "PartReaderContract",
    "PasswordHasherContract",
    "QrEncoderContract",
    "QuotaAuditContract",
    "QuotaContract",
    "RateLimiterContract",
    "ReclaimableFilesContract",
    "Refused",
    "ResumableUploadsContract",
    "SessionStoreContract",
    "StoreIdentityContract",
    "TokenSignerContract",
    "TotpProviderContract",
    "UnitOfWorkContract",
    "UserRepositoryContract",
    "WrappedSecretsContract",
    "blob_machine",
    "budget",
    "contracts",
    "drivers",
    "machines",
    "strategies",
    "system_machine",
    "vectors",
]

_HOMES = ("contracts", "drivers", "machines")


def __getattr__(name: str) -> Any:  # noqa: ANN401 (a module, class or function)
    if name in {*_HOMES, "strategies", "vectors"}:
        return import_module(f"{__name__}.{name}")
    if not name.startswith("_"):
        for home in (import_module(f"{__name__}.{module}") for module in _HOMES):
            if name in home.__all__:
                return getattr(home, name)
    renamed = import_module(f"{__name__}.contracts").RENAMED
    if name in renamed:
        message = f"{name} was renamed to {renamed[name]}; the old name is removed in the next release."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return __getattr__(renamed[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
