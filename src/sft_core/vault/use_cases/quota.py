"""
Reservations before bytes arrive: of the owner's quota, and a look at the store's capacity.
"""

from __future__ import annotations

from typing import Final

from sft_core.errors import QuotaExceeded, SftError
from sft_core.vault.model import File, VaultPolicy
from sft_core.vault.ports import CapacityCheck, VaultUnit

MAX_PREALLOCATION: Final = 64 << 20
"""How many bytes of its owner's quota an upload of unknown size reserves before they arrive, at most."""
PREALLOCATION_MARGIN: Final = 1 << 30
"""Within so many bytes of the quota nothing is reserved in advance: it could exclude a file that fits."""


def reserve_quota(
    unit: VaultUnit, file: File, policy: VaultPolicy, *, need: int, ahead: int = 0, reserved: int = 0
) -> int:
    """
    Reserve `need` bytes for a file, or a larger `ahead` if far below the quota.

    `reserved` bytes of the owner's use are this file's already. Returns the bytes reserved once the unit has committed.

    Raises:
        QuotaExceeded: fewer than `need` bytes are available.
        UploadAborted: the file is aborting, deleting or deleted.
    """
    quota = policy.quota
    limit = None if quota is None else quota - PREALLOCATION_MARGIN
    if ahead > need and unit.quotas.reserve(file.id, ahead, limit=limit):
        return ahead
    if not unit.quotas.reserve(file.id, need, limit=quota):
        assert quota is not None  # noqa: S101 (without a limit every reservation succeeds)
        raise QuotaExceeded(quota=quota, used=unit.quotas.used(file.owner) - reserved)
    return need


def next_reservation(size: int, policy: VaultPolicy) -> int:
    """
    Return how many bytes an upload of unknown size reserves when it reaches `size`.
    """
    return min(2 * size, size + MAX_PREALLOCATION, policy.max_file_size)


def capacity_error(capacity: CapacityCheck, size: int) -> SftError | None:
    """
    Return the error with which the store refuses `size` more bytes, or None.

    It is returned, because the quota's refusal, which is found inside the unit of work, takes precedence. Call it while
    none is open: the look (`statvfs`) would hold row locks for as long as a network file system does not respond.
    """
    try:
        capacity.require_bytes(size)
    except SftError as error:
        return error
    return None
