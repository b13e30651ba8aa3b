"""
The whole error tree: one class per cause, each with a stable code and one public sentence.

The tree is read top-down by kind: what was asked was wrong (`InvalidInput`), who asked was not
known (`NotAuthenticated`) or not allowed (`NotAllowed`), what was named is not there (`NotFound`,
`Gone`), it does not fit the present state (`Conflict`), the service cannot do it just now
(`Unavailable`), or what was stored is no longer what was stored (`Damaged`).

Adapters translate every driver's exception into this tree before it passes a port, so callers
never see a driver's text. `public` is safe to show to anyone; `detail` is safe for logs.
"""

from __future__ import annotations

from typing import ClassVar

import attrs


class SftError(Exception):
    """
    Base of every error the library raises on purpose.

    `code` never changes once released; `public` is one sentence for people.
    """

    code: ClassVar[str] = "error"
    public: str = "The request could not be completed."

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.public)
        self.detail = detail


# --- what was asked is wrong -------------------------------------------------------------------


@attrs.frozen
class Fault:
    """
    One thing wrong with one input: where it is, and a sentence that says what.
    """

    path: str
    message: str


class InvalidInput(SftError):
    """
    The input does not satisfy a rule; `faults` names each place that does not.
    """

    code = "invalid-input"
    public = "The input is not valid."

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults))
        self.faults = faults


class InvalidValue(InvalidInput):
    """
    One value does not satisfy its type's rule.
    """

    code = "invalid-value"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(Fault(path, message))


class InvalidFileName(InvalidValue):
    """
    A file name holds a separator, a control or bidi character, or is reserved by a file system.
    """

    code = "invalid-file-name"

    def __init__(self, message: str) -> None:
        super().__init__("file", message)


class FileTypeNotAllowed(SftError):
    """
    The name's extension is not among those this service accepts.
    """

    code = "file-type-not-allowed"

    def __init__(self, extension: str) -> None:
        super().__init__()
        self.extension = extension
        self.public = f"File type {extension or '(none)'} not allowed"


class FileTooLarge(SftError):
    """
    More bytes than `limit` were announced or have arrived.
    """

    code = "file-too-large"

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.public = f"The file is larger than the limit of {limit} bytes."


class QuotaExceeded(SftError):
    """
    The file does not fit beside the owner's others: they hold `used` bytes of at most `quota`.
    """

    code = "quota-exceeded"

    def __init__(self, *, quota: int, used: int) -> None:
        super().__init__()
        self.quota = quota
        self.used = used
        self.public = f"The file does not fit: {used} of {quota} bytes are in use."


class UploadIncomplete(SftError):
    """
    The bytes that arrived are not the bytes that were announced; nothing was stored.
    """

    code = "upload-incomplete"
    public = "The upload ended before all announced bytes had arrived; nothing was stored."


# --- who asks ----------------------------------------------------------------------------------


class NotAuthenticated(SftError):
    """
    The caller did not prove who they are.
    """

    code = "not-authenticated"
    public = "Not authenticated"


class BadCredentials(NotAuthenticated):
    """
    Unknown e-mail address or wrong password; which of the two is never told.
    """

    code = "bad-credentials"
    public = "Incorrect email or password"


class BadToken(NotAuthenticated):
    """
    A token is malformed, forged, expired, revoked, or of the wrong kind.
    """

    code = "bad-token"
    public = "Could not validate credentials"


class TotpRequired(SftError):
    """
    The password was right, and the account asks for a one-time code as well.
    """

    code = "totp-required"
    public = "2FA code required"


class BadTotpCode(NotAuthenticated):
    """
    The one-time code is wrong, out of its window, or was used before.
    """

    code = "bad-totp-code"
    public = "Invalid 2FA code"


# --- what they may do --------------------------------------------------------------------------


class NotAllowed(SftError):
    """
    The caller is known and may not do this.
    """

    code = "not-allowed"
    public = "Not allowed"


class InactiveUser(NotAllowed):
    """
    The account has been switched off.
    """

    code = "inactive-user"
    public = "Inactive user"


class DownloadLimitReached(NotAllowed):
    """
    Every download that the link allows has been spent.
    """

    code = "download-limit-reached"
    public = "Download limit reached"


# --- how often they may try ---------------------------------------------------------------------


class TooManyAttempts(SftError):
    """
    Too many tries at one thing in too short a time; the next one counts after `retry_after` seconds.
    """

    code = "too-many-attempts"
    public = "Too many attempts; please try again later."

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


# --- what they name ----------------------------------------------------------------------------


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


# --- what state things are in ------------------------------------------------------------------


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


class BlobExists(Conflict):
    """
    A blob of this key is stored already; blobs are never overwritten.
    """

    code = "blob-exists"


# --- what cannot be done just now ----------------------------------------------------------------


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


# --- what is no longer what it was ---------------------------------------------------------------


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


class UnknownKey(SftError):
    """
    A wrapped secret names a key-encryption key that the ring does not hold.
    """

    code = "unknown-key"
    public = "The key that protects this content is not available to the service."

    def __init__(self, key_id: str) -> None:
        super().__init__(f"key-encryption key {key_id!r} is not in the key ring")
        self.key_id = key_id


class UnwrapFailed(SftError):
    """
    A wrapped secret does not unwrap under the key it names: wrong key, or altered row.
    """

    code = "unwrap-failed"
    public = "The key that protects this content does not open it."


# --- what an operator must mend ------------------------------------------------------------------


class ConfigurationError(SftError):
    """
    A setting is missing, malformed, insecure or contradicts another; `detail` names it.
    """

    code = "configuration"
    public = "The service is not configured correctly."
