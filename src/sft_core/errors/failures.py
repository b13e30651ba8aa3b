"""
Errors of the service itself: overload, outages, damaged data and configuration.
"""

from __future__ import annotations

from typing import ClassVar

from sft_core.errors.base import SftError


class Unavailable(SftError):
    """
    The operation failed and may succeed after `retry_after` seconds.
    """

    code = "unavailable"
    public = "The service is temporarily unavailable; please try again shortly."
    retry_after: ClassVar[int] = 2


class Busy(Unavailable):
    """
    A bounded queue is full.
    """

    code = "busy"
    public = "The service is busy; please try again shortly."


class DatabaseUnavailable(Unavailable):
    """
    The database did not respond in time.

    A commit in progress may or may not have been applied.
    """

    code = "database-unavailable"


class BlobStoreUnavailable(Unavailable):
    """
    The blob store did not respond in time.
    """

    code = "blob-store-unavailable"


class BlobStoreFull(SftError):
    """
    The blob store has no free space for encrypted parts.
    """

    code = "insufficient-storage"
    public = "The service has no free space to store this file."


class Damaged(SftError):
    """
    Stored bytes differ from those that were stored; none of them was returned.
    """

    code = "content-damaged"
    public = "The stored file is damaged and was not delivered."


class BlobMissing(Damaged):
    """
    The manifest names a blob that the store does not contain.
    """

    code = "content-missing"


class BlobSizeMismatch(Damaged):
    """
    A blob is shorter or longer than the manifest says.
    """

    code = "content-size-mismatch"


class AuthenticationFailed(Damaged):
    """
    A chunk or its header fails authentication: modified, truncated, swapped, rolled-back or foreign bytes.
    """

    code = "content-not-authentic"


class RowDamaged(Damaged):
    """
    A row contains an invalid value: another program than this service wrote it.
    """

    code = "row-damaged"
    public = "The stored record is damaged."


class UnknownKey(Unavailable):
    """
    A wrapped secret names a key that is not in the key ring.

    An operator may restore the key.
    """

    code = "unknown-key"
    public = "The key that protects this data is not available to the service."

    def __init__(self, key_id: str) -> None:
        super().__init__(f"key-encryption key {key_id!r} is not in the key ring")
        self.key_id = key_id


class KeyRetired(Unavailable):
    """
    A secret was wrapped under a key retired in the meantime; nothing was stored.
    """

    code = "key-retired"


class UnwrapFailed(SftError):
    """
    A wrapped secret does not unwrap with the key that it names.

    The key is a wrong one, or the row was modified.
    """

    code = "unwrap-failed"
    public = "The key that protects this data cannot be unwrapped."


class ConfigurationError(SftError):
    """
    A setting is missing, malformed, insecure or contradicts another one; `detail` names it.
    """

    code = "configuration"
    public = "The service is not configured correctly."


class StoreMismatch(ConfigurationError):
    """
    The blob store is not verified to belong to this database.

    Its blobs may belong to another one.
    """

    code = "store-of-another"
