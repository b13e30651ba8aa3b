"""
Errors about the named object: it is missing, deleted, or in a conflicting state.
"""

from __future__ import annotations

from typing import ClassVar

from sft_core.errors.base import SftError


class NotFound(SftError, code="not-found", public="Not found"):
    """
    The named object does not exist for this caller; another owner's object counts as missing.
    """


class FileNotFound(NotFound, code="file-not-found", public="File not found"):
    """
    The caller has no such file.
    """


class LinkNotFound(NotFound, code="link-not-found", public="Share link not found"):
    """
    No share link has this token, or its file was deleted.
    """


class Gone(SftError, code="gone", public="Gone"):
    """
    The object existed and was permanently removed.
    """


class ResultGone(Gone, code="idempotent-result-gone"):
    """
    The file or link that the first request with this idempotency key created was deleted.
    """

    public = "The result of the first request with this Idempotency-Key was deleted; a new request needs a new key."


class LinkExpired(Gone, code="link-expired", public="Share link has expired"):
    """
    The share link, or its file, has expired.
    """


class LinkRevoked(Gone, code="link-revoked", public="Share link has been revoked"):
    """
    The owner revoked the share link.
    """


class Conflict(SftError, code="conflict", public="The request conflicts with a concurrent change; please try again."):
    """
    The request conflicts with the present state of the object.
    """


class AlreadyRegistered(Conflict, code="already-registered", public="Email already registered"):
    """
    The e-mail address or the user name is taken; the error never distinguishes the two.
    """


class TotpAlreadyEnabled(Conflict, code="totp-already-enabled", public="2FA is already enabled"):
    """
    Two-factor authentication is already enabled.
    """


class TotpNotStarted(Conflict, code="totp-not-started", public="2FA setup not initiated"):
    """
    A confirmation code was sent without a pending two-factor set-up.
    """


class TotpNotEnabled(Conflict, code="totp-not-enabled", public="2FA is not enabled"):
    """
    Two-factor authentication is not enabled, so it cannot be disabled.
    """


class UploadAborted(Conflict, code="upload-aborted", public="This upload was aborted; nothing was stored."):
    """
    The upload was aborted or sealed by a concurrent request.
    """


class OffsetMismatch(Conflict, code="offset-mismatch"):
    """
    The request's offset differs from the upload's, which is `offset` bytes.
    """

    def __init__(self, offset: int) -> None:
        super().__init__(public=f"Upload-Offset must be {offset}.")
        self.offset = offset


class UploadTakenOver(Conflict, code="upload-taken-over"):
    """
    A later request became the writer of the upload; this one appends nothing more.
    """

    public = "A later request has taken over this upload; ask for the offset before you continue."


class IdempotencyKeyInUse(Conflict, code="idempotency-key-in-use"):
    """
    A concurrent request with this idempotency key was committed first; a retry returns its result.
    """

    public = "Another request with this Idempotency-Key is in progress; retry to receive its result."

    retry_after: ClassVar[int] = 1


class UploadLengthConflict(
    Conflict, code="length-announced", public="The length of this upload is already set and cannot be changed."
):
    """
    The upload's length was announced before with another value.
    """


class PartialUploadIncomplete(
    Conflict, code="partial-unfinished", public="Only complete partial uploads can be concatenated."
):
    """
    A final upload names a source that is not a complete partial upload.
    """


class BlobExists(Conflict, code="blob-exists"):
    """
    A blob with this key is stored; blobs are never overwritten.
    """
