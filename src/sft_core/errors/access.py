"""
Authentication, authorization and rate-limit errors.
"""

from __future__ import annotations

from sft_core.errors.base import SftError


class NotAuthenticated(SftError):
    """
    The caller did not prove its identity.
    """

    code = "not-authenticated"
    public = "Not authenticated"


class BadCredentials(NotAuthenticated):
    """
    The e-mail address is unknown or the password is wrong; never which of them.
    """

    code = "bad-credentials"
    public = "Incorrect email or password"


class BadToken(NotAuthenticated):
    """
    The token is malformed, forged, expired, revoked, or of the wrong kind.
    """

    code = "bad-token"
    public = "Could not validate credentials"


class TotpRequired(SftError):
    """
    The password is correct, and the account requires a one-time code as well.
    """

    code = "totp-required"
    public = "2FA code required"


class BadTotpCode(NotAuthenticated):
    """
    The one-time code is wrong, outside its time window, or was used before.
    """

    code = "bad-totp-code"
    public = "Invalid 2FA code"


class NotAllowed(SftError):
    """
    The caller is authenticated and lacks the permission.
    """

    code = "not-allowed"
    public = "Not allowed"


class InactiveUser(NotAllowed):
    """
    The account was deactivated.
    """

    code = "inactive-user"
    public = "Inactive user"


class UploadIsFinal(NotAllowed):
    """
    Bytes were sent to a final upload, which is concatenated from partial ones.
    """

    code = "upload-is-final"
    public = "A final upload is concatenated from partial uploads and accepts no bytes of its own."


class DownloadLimitReached(NotAllowed):
    """
    The download budget of the link is spent.
    """

    code = "download-limit-reached"
    public = "Download limit reached"


class TooManyAttempts(SftError):
    """
    The rate limit of attempts is exceeded; the next attempt is accepted after `retry_after` seconds.
    """

    code = "too-many-attempts"
    public = "Too many attempts; please try again later."

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after
