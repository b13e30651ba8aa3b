"""
Use cases of files, one frozen callable each; import them from this package.

An upload is cut into steps (`BeginUpload`, `StorePart`, `SealWithinUnit`, `AbortUpload`), so that a server that waits
for a slow client holds no thread and no connection between them. `StoreFile` combines the four for bytes at hand.
"""

from sft_core.vault.use_cases.delete import AbortUpload, DeleteFile, purge
from sft_core.vault.use_cases.expire import SetExpiry
from sft_core.vault.use_cases.read import FindFile, ListFiles, ReadFile
from sft_core.vault.use_cases.seal import SealWithinUnit
from sft_core.vault.use_cases.store import StoreFile
from sft_core.vault.use_cases.store_part import StorePart
from sft_core.vault.use_cases.upload import BeginUpload
from sft_core.vault.use_cases.upload_session import TOUCH_INTERVAL, PartSlot, UploadSession

__all__ = [
    "TOUCH_INTERVAL",
    "AbortUpload",
    "BeginUpload",
    "DeleteFile",
    "FindFile",
    "ListFiles",
    "PartSlot",
    "ReadFile",
    "SealWithinUnit",
    "SetExpiry",
    "StoreFile",
    "StorePart",
    "UploadSession",
    "purge",
]
