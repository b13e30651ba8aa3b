"""
The service cannot do it: not now, not any more, or not as it is set up.
"""

from __future__ import annotations

from typing import ClassVar

from sft_core.errors.base import SftError


class Unavailable(SftError):
    """
    It cannot be done now and may work later; `retry_after` is in seconds.
    """

    code = "unavailable"
    public = "The service cannot do this just now; please try again shortly."
    retry_after: ClassVar[int] = 2


class Busy(Unavailable):
    """
    Every place in a bounded queue is taken.
    """

    code = "busy"
    public = "The service is busy; please try again shortly."


class DatabaseUnavailable(Unavailable):
    """
    The database did not answer, or not in time; an unfinished commit may or may not have happened.
    """

    code = "database-unavailable"


class BlobStoreUnavailable(Unavailable):
    """
    The store of encrypted parts did not answer, or not in time.
    """

    code = "blob-store-unavailable"


class BlobStoreFull(SftError):
    """
    There is no room left for encrypted parts.
    """

    code = "insufficient-storage"
    public = "There is no room left to store this file."


class Damaged(SftError):
    """
    Stored bytes are not the bytes that were stored; nothing of them was handed out.
    """

    code = "content-damaged"
    public = "The stored content is damaged and was not delivered."


class BlobMissing(Damaged):
    """
    The manifest names a blob that the store does not have.
    """

    code = "content-missing"


class BlobSizeMismatch(Damaged):
    """
    A stored blob is shorter or longer than the manifest says.
    """

    code = "content-size-mismatch"


class AuthenticationFailed(Damaged):
    """
    A chunk or its header does not authenticate: flipped, cut, swapped, rolled back or foreign bytes.
    """

    code = "content-not-authentic"


class RowDamaged(Damaged):
    """
    A row holds what no value of its kind can be: something other than this service wrote it.
    """

    code = "row-damaged"
    public = "What is stored about this is damaged."


class UnknownKey(Unavailable):
    """
    A wrapped secret names a key-encryption key that the ring does not hold; it may be brought back.
    """

    code = "unknown-key"
    public = "The key that protects this content is not available to the service."

    def __init__(self, key_id: str) -> None:
        super().__init__(f"key-encryption key {key_id!r} is not in the key ring")
        self.key_id = key_id


class KeyRetired(Unavailable):
    """
    A secret was wrapped under a key that nothing may be wrapped under any more; nothing was stored.
    """

    code = "key-retired"


class UnwrapFailed(SftError):
    """
    A wrapped secret does not unwrap under the key it names: wrong key, or altered row.
    """

    code = "unwrap-failed"
    public = "The key that protects this content does not open it."


class ConfigurationError(SftError):
    """
    A setting is missing, malformed, insecure or contradicts another; `detail` names it.
    """

    code = "configuration"
    public = "The service is not configured correctly."


class StoreOfAnother(ConfigurationError):
    """
    The blob store is not known to belong to this database: what has no row here may have one elsewhere.
    """

    code = "store-of-another"
