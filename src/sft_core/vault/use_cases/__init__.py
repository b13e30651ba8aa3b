"""
What people can do with files, one frozen callable each.

Receiving is cut into steps (`BeginUpload`, `StorePart`, `SealUpload`, `AbortUpload`), so that an
edge that waits for a slow client holds no thread and no connection between them; `StoreFile` is
the four in one for whoever has the bytes at hand.

They are imported from here.
"""

from sft_core.vault.use_cases.expiring import (
    SetExpiry,
)
from sft_core.vault.use_cases.reading import (
    FindFile,
    ListFiles,
    ReadFile,
)
from sft_core.vault.use_cases.receiving import (
    HELD_AHEAD,
    NEAR_THE_QUOTA,
    TOUCH_INTERVAL,
    BeginUpload,
    Place,
    SealUpload,
    StorePart,
    Upload,
    hold,
    step_ahead,
)
from sft_core.vault.use_cases.removing import (
    AbortUpload,
    DeleteFile,
    purge,
)
from sft_core.vault.use_cases.storing import (
    StoreFile,
    parts_of,
)

__all__ = [
    "HELD_AHEAD",
    "NEAR_THE_QUOTA",
    "TOUCH_INTERVAL",
    "AbortUpload",
    "BeginUpload",
    "DeleteFile",
    "FindFile",
    "ListFiles",
    "Place",
    "ReadFile",
    "SealUpload",
    "SetExpiry",
    "StoreFile",
    "StorePart",
    "Upload",
    "hold",
    "parts_of",
    "purge",
    "step_ahead",
]
