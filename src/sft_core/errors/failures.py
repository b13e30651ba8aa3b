"""
Errors of the service itself: overload, outages, damaged data and configuration.
"""

from __future__ import annotations

from typing import ClassVar

from sft_core.errors.base import SftError


class Unavailable(
    SftError, code="unavailable", public="The service is temporarily unavailable; please try again shortly."
):
    """
    The operation failed and may succeed after `retry_after` seconds.
    """

    retry_after: ClassVar[int] = 2


class Busy(Unavailable, code="busy", public="The service is busy; please try again shortly."):
    """
    A bounded queue is full.
    """


class DatabaseUnavailable(Unavailable, code="database-unavailable"):
    """
    The database did not respond in time; a commit in progress may have been applied.
    """


class BlobStoreUnavailable(Unavailable, code="blob-store-unavailable"):
    """
    The blob store did not respond in time.
    """


class BlobStoreFull(SftError, code="insufficient-storage", public="The service has no free space to store this file."):
    """
    The blob store has no free space for encrypted parts.
    """


class Damaged(SftError, code="content-damaged", public="The stored file is damaged and was not delivered."):
    """
    Stored bytes differ from those that were stored; none of them was returned.
    """


class BlobMissing(Damaged, code="content-missing"):
    """
    The manifest names a blob that the store does not contain.
    """


class BlobSizeMismatch(Damaged, code="content-size-mismatch"):
    """
    A blob is shorter or longer than the manifest says.
    """


class AuthenticationFailed(Damaged, code="content-not-authentic"):
    """
    A chunk or its header fails authentication: modified, truncated, swapped, rolled-back or foreign bytes.
    """


class RowDamaged(Damaged, code="row-damaged", public="The stored record is damaged."):
    """
    A row contains an invalid value: another program than this service wrote it.
    """


class UnknownKey(
    Unavailable, code="unknown-key", public="The key that protects this data is not available to the service."
):
    """
    A wrapped secret names a key outside the key ring; an operator may restore it.
    """

    def __init__(self, key_id: str) -> None:
        super().__init__(f"key-encryption key {key_id!r} is not in the key ring")
        self.key_id = key_id


class KeyRetired(Unavailable, code="key-retired"):
    """
    A secret was wrapped under a key retired in the meantime; nothing was stored.
    """


class UnwrapFailed(SftError, code="unwrap-failed", public="The key that protects this data cannot be unwrapped."):
    """
    A wrapped secret does not unwrap with its key: a wrong key, or modified row.
    """


class ConfigurationError(SftError, code="configuration", public="The service is not configured correctly."):
    """
    A setting is missing, malformed, insecure or contradicts another one; `detail` names it.
    """


class StoreMismatch(ConfigurationError, code="store-of-another"):
    """
    The blob store may belong to another database: its store id is not verified.
    """
