"""
Reservations of an owner's quota by uploads.
"""

from __future__ import annotations

from typing import Final

from sft_core.errors import QuotaExceeded
from sft_core.vault.model import (
    VaultPolicy,
)
from sft_core.vault.ports import VaultUnit
from sft_core.vault.use_cases.upload_session import Upload

HELD_AHEAD: Final = 64 << 20
"""How many bytes an upload of unknown size holds of its owner's quota, at most, before they come."""


NEAR_THE_QUOTA: Final = 1 << 30
"""How many bytes below a quota nothing is held any more that may not come: it could keep a file out that fits."""


def hold(unit: VaultUnit, upload: Upload, policy: VaultPolicy, *, need: int, ahead: int = 0) -> int:
    """
    Hold `need` bytes of the owner's quota for an upload, or `ahead` if that is more and there is plenty.

    Returns how many are held once the unit is committed. `QuotaExceeded` if not even `need` fit.
    """
    file, quota = upload.file, policy.quota
    plenty = None if quota is None else quota - NEAR_THE_QUOTA
    if ahead > need and unit.quotas.hold(file.id, ahead, limit=plenty):
        return ahead
    if not unit.quotas.hold(file.id, need, limit=quota):
        assert quota is not None  # noqa: S101 (without a limit a file may always hold more)
        raise QuotaExceeded(quota=quota, used=unit.quotas.used(file.owner) - upload.held)
    return need


def step_ahead(size: int, policy: VaultPolicy) -> int:
    """
    How many bytes an upload of unknown size holds, where there is plenty, when it comes to `size` of them.
    """
    return min(2 * size, size + HELD_AHEAD, policy.max_file_size)
