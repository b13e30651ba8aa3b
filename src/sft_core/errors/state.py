"""
Errors about the named object: it is missing, deleted, or in a conflicting state.
"""

from __future__ import annotations

from typing import ClassVar

from sft_core.errors.base import SftError


class NotFound(SftError):
    """
    The named object does not exist for this caller; another owner's object counts as missing.
    """

    code = "not-found"
    public = "Not found"


class FileNotFound(NotFound):
    """
    The caller has no such file.
    """

    code = "file-not-found"
    public = "File not found"


class LinkNotFound(NotFound):
    """
    No share link has this token, or its file was deleted.
    """

    code = "link-not-found"
    public = "Share link not found"


class Gone(SftError):
    """
    The object existed and was permanently removed.
    """

    code = "gone"
    public = "Gone"


class ResultGone(Gone):
    """
    The file or link that the first request with this idempotency key created was deleted.
    """

    code = "idempotent-result-gone"
    public = "The result of the first request with this Idempotency-Key was deleted; a new request needs a new key."


class LinkExpired(Gone):
    """
    The share link, or its file, has expired.
    """

    code = "link-expired"
    public = "Share link has expired"


class LinkRevoked(Gone):
    """
    The owner revoked the share link.
    """

    code = "link-revoked"
    public = "Share link has been revoked"


class Conflict(SftError):
    """
    The request conflicts with the present state of the object.
    """

    code = "conflict"
    public = "The request conflicts with a concurrent change; please try again."


class AlreadyRegistered(Conflict):
    """
    The e-mail address or the user name is taken; the error never distinguishes the two.
    """

    code = "already-registered"
    public = "Email already registered"


class TotpAlreadyEnabled(Conflict):
    """
    Two-factor authentication is already enabled.
    """

    code = "totp-already-enabled"
    public = "2FA is already enabled"


class TotpNotStarted(Conflict):
    """
    A confirmation code was sent without a pending two-factor set-up.
    """

    code = "totp-not-started"
    public = "2FA setup not initiated"


class TotpNotEnabled(Conflict):
    """
    Two-factor authentication is not enabled, so it cannot be disabled.
    """

    code = "totp-not-enabled"
    public = "2FA is not enabled"


class UploadAborted(Conflict):
    """
    The upload was aborted or sealed by a concurrent request.
    """

    code = "upload-aborted"
    public = "This upload was aborted; nothing was stored."


class OffsetMismatch(Conflict):
    """
    The request's offset differs from the upload's, which is `offset` bytes.
    """

    code = "offset-mismatch"

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset
        self.public = f"Upload-Offset must be {offset}."


class UploadTakenOver(Conflict):
    """
    A later request became the writer of the upload; this one appends nothing more.
    """

    code = "upload-taken-over"
    public = "A later request has taken over this upload; ask for the offset before you continue."


class IdempotencyKeyInUse(Conflict):
    """
    A concurrent request with this idempotency key was committed first; a retry returns its result.
    """

    code = "idempotency-key-in-use"
    public = "Another request with this Idempotency-Key is in progress; retry to receive its result."
    retry_after: ClassVar[int] = 1


class UploadLengthConflict(Conflict):
    """
    The upload's length was announced before with another value.
    """

    code = "length-announced"
    public = "The length of this upload is already set and cannot be changed."


class PartialUploadIncomplete(Conflict):
    """
    A final upload names a source that is not a complete partial upload.
    """

    code = "partial-unfinished"
    public = "Only complete partial uploads can be concatenated."


class BlobExists(Conflict):
    """
    A blob with this key is stored; blobs are never overwritten.
    """

    code = "blob-exists"
