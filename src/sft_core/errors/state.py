"""
What was named is not there, or is not in a state for it.
"""

from __future__ import annotations

from typing import ClassVar

from sft_core.errors.base import SftError


class NotFound(SftError):
    """
    Nothing of that name exists for this caller; another's things count as absent.
    """

    code = "not-found"
    public = "Not found"


class FileNotFound(NotFound):
    """
    No such file among the caller's own.
    """

    code = "file-not-found"
    public = "File not found"


class LinkNotFound(NotFound):
    """
    No share link has this token, or its file is gone.
    """

    code = "link-not-found"
    public = "Share link not found"


class Gone(SftError):
    """
    It was there and will not come back.
    """

    code = "gone"
    public = "Gone"


class ResultGone(Gone):
    """
    What a request under this idempotency key has made was deleted since.
    """

    code = "idempotent-result-gone"
    public = "What the first request with this Idempotency-Key made has been deleted; it is not made again."


class LinkExpired(Gone):
    """
    The link's time is over.
    """

    code = "link-expired"
    public = "Share link has expired"


class LinkRevoked(Gone):
    """
    The owner has withdrawn the link.
    """

    code = "link-revoked"
    public = "Share link has been revoked"


class Conflict(SftError):
    """
    The request does not fit the present state of what it names.
    """

    code = "conflict"
    public = "The request conflicts with a change made at the same time."


class AlreadyRegistered(Conflict):
    """
    The e-mail address or the user name is taken; which of the two is never told.
    """

    code = "already-registered"
    public = "Email already registered"


class TotpAlreadyEnabled(Conflict):
    """
    Two-factor sign-in is on already.
    """

    code = "totp-already-enabled"
    public = "2FA is already enabled"


class TotpNotStarted(Conflict):
    """
    A code was sent for a two-factor set-up that nobody began.
    """

    code = "totp-not-started"
    public = "2FA setup not initiated"


class TotpNotEnabled(Conflict):
    """
    Two-factor sign-in is off, so it cannot be switched off.
    """

    code = "totp-not-enabled"
    public = "2FA is not enabled"


class UploadAborted(Conflict):
    """
    The upload lost the race against an abort, or was sealed before.
    """

    code = "upload-aborted"
    public = "This upload was aborted; nothing was stored."


class OffsetMismatch(Conflict):
    """
    Bytes were sent for another place than the end of what is stored, which is `offset`.
    """

    code = "offset-mismatch"

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset
        self.public = f"The upload stands at {offset}, and bytes are added there only."


class UploadTakenOver(Conflict):
    """
    A later request goes on with the upload; nothing more is added by this one.
    """

    code = "upload-taken-over"
    public = "A later request has taken this upload over."


class IdempotencyKeyInUse(Conflict):
    """
    Another request has kept its answer under this idempotency key meanwhile; repeated, this one gets it.
    """

    code = "idempotency-key-in-use"
    public = "Another request with this Idempotency-Key is being answered; repeat this one to get the same answer."
    retry_after: ClassVar[int] = 1


class LengthAnnounced(Conflict):
    """
    The upload's length was announced before, and it was another one.
    """

    code = "length-announced"
    public = "The length of this upload was announced before and does not change."


class PartialUnfinished(Conflict):
    """
    A final upload names one that is not partial, or not complete.
    """

    code = "partial-unfinished"
    public = "Only partial uploads that are complete can be put together."


class BlobExists(Conflict):
    """
    A blob of this key is stored already; blobs are never overwritten.
    """

    code = "blob-exists"
