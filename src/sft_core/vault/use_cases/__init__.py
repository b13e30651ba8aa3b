"""
Use cases of files, one frozen callable each.

Receiving a file is split into steps (`BeginUpload`, `StorePart`, `SealUpload`, `AbortUpload`), so
that a server that waits for a slow client occupies no thread and no database connection between
them. `StoreFile` runs all of them for a caller that has the bytes at hand.

Import use cases from this package.
"""

from sft_core.vault.use_cases.delete import AbortUpload, DeleteFile, purge
from sft_core.vault.use_cases.expire import SetExpiry
from sft_core.vault.use_cases.quota import HELD_AHEAD, NEAR_THE_QUOTA, hold, step_ahead
from sft_core.vault.use_cases.read import FindFile, ListFiles, ReadFile
from sft_core.vault.use_cases.store import StoreFile, parts_of
from sft_core.vault.use_cases.upload import BeginUpload, SealUpload, StorePart
from sft_core.vault.use_cases.upload_session import TOUCH_INTERVAL, Place, Upload

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
