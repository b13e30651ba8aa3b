"""
The error tree: one class, stable code and public sentence for each cause.

The kinds: invalid input (`InvalidInput`), missing authentication (`NotAuthenticated`) or permission (`NotAllowed`), a
missing object (`NotFound`) or a deleted or expired one (`Gone`), a conflict with the present state (`Conflict`), a
temporary failure of the service (`Unavailable`), and stored data that changed after they were stored (`Damaged`).

Adapters translate every driver's exception into this tree before it passes a port, so callers never see a driver's
text. `public` may be shown to every caller; `detail` is for logs.
"""

from __future__ import annotations

from typing import ClassVar

import attrs


class SftError(Exception):
    """
    Base of every error that the library raises on purpose.

    `code` never changes once released. `public` is one sentence for the caller, `detail` one for logs.
    A subclass states them in its class statement; a sentence too long for that is in its body.
    """

    code: ClassVar[str] = "error"
    public: str = "The request could not be completed."

    def __init_subclass__(cls, *, code: str = "", public: str = "") -> None:
        super().__init_subclass__()
        cls.code, cls.public = code or cls.code, public or cls.public

    def __init__(self, detail: str = "", *, public: str = "") -> None:
        self.public = public or self.public
        super().__init__(detail or self.public)
        self.detail = detail


class NotAuthenticated(SftError, code="not-authenticated", public="Not authenticated"):
    """
    The caller did not prove its identity.
    """


class BadCredentials(NotAuthenticated, code="bad-credentials", public="Incorrect email or password"):
    """
    The e-mail address is unknown or the password is wrong; never which of them.
    """


class BadToken(NotAuthenticated, code="bad-token", public="Could not validate credentials"):
    """
    The token is malformed, forged, expired, revoked, or of the wrong kind.
    """


class TotpRequired(SftError, code="totp-required", public="2FA code required"):
    """
    The password is correct, and the account requires a one-time code as well.
    """


class BadTotpCode(NotAuthenticated, code="bad-totp-code", public="Invalid 2FA code"):
    """
    The one-time code is wrong, outside its time window, or was used before.
    """


class NotAllowed(SftError, code="not-allowed", public="Not allowed"):
    """
    The caller is authenticated and lacks the permission.
    """


class InactiveUser(NotAllowed, code="inactive-user", public="Inactive user"):
    """
    The account was deactivated.
    """


class UploadIsFinal(NotAllowed, code="upload-is-final"):
    """
    Bytes were sent to a final upload, which is concatenated from partial ones.
    """

    public = "A final upload is concatenated from partial uploads and accepts no bytes of its own."


class DownloadLimitReached(NotAllowed, code="download-limit-reached", public="Download limit reached"):
    """
    The download budget of the link is spent.
    """


class TooManyAttempts(SftError, code="too-many-attempts", public="Too many attempts; please try again later."):
    """
    The rate limit of attempts is exceeded; the next attempt is accepted after `retry_after` seconds.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


@attrs.frozen
class FieldError:
    """
    One problem with one input: the input's path and a sentence.
    """

    path: str
    message: str


class InvalidInput(SftError, code="invalid-input", public="The input is not valid."):
    """
    The input violates a rule; `errors` lists every violation.
    """

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in errors))
        self.errors = errors


class InvalidValue(InvalidInput, code="invalid-value"):
    """
    One value violates the rule of its type.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(FieldError(path, message))


class InvalidFileName(InvalidValue, code="invalid-file-name"):
    """
    A file name contains forbidden characters, or is reserved by a file system.
    """

    def __init__(self, message: str) -> None:
        super().__init__("file", message)


class FileTypeNotAllowed(SftError, code="file-type-not-allowed"):
    """
    The extension of the file name is not among the allowed ones.
    """

    def __init__(self, extension: str) -> None:
        super().__init__(public=f"File type {extension or '(none)'} not allowed")
        self.extension = extension


class FileTooLarge(SftError, code="file-too-large"):
    """
    More than `limit` bytes were announced or received.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(public=f"The file is larger than the limit of {limit} bytes.")
        self.limit = limit


class QuotaExceeded(SftError, code="quota-exceeded"):
    """
    The file exceeds the owner's quota: `used` of `quota` bytes are reserved by others.
    """

    def __init__(self, *, quota: int, used: int) -> None:
        super().__init__(public=f"The file exceeds your quota: {used} of {quota} bytes are in use.")
        self.quota, self.used = quota, used


class IdempotencyKeyReused(SftError, code="idempotency-key-reused"):
    """
    An idempotency key was sent with a request that differs from its first one.
    """

    public = "This Idempotency-Key was used for a different request; a new request needs a new key."


class UploadIncomplete(SftError, code="upload-incomplete"):
    """
    The bytes received are not the bytes announced; nothing was stored.
    """

    public = "The upload ended before all announced bytes were received; nothing was stored."


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
    The database did not respond in time; a commit in progress may or may not have been applied.
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
    A wrapped secret names a key that is not in the key ring; an operator may restore the key.
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
    A wrapped secret does not unwrap with the key that it names: a wrong key, or a modified row.
    """


class ConfigurationError(SftError, code="configuration", public="The service is not configured correctly."):
    """
    A setting is missing, malformed, insecure or contradicts another one; `detail` names it.
    """


class StoreMismatch(ConfigurationError, code="store-of-another"):
    """
    The blob store is not verified to belong to this database; its blobs may belong to another one.
    """
