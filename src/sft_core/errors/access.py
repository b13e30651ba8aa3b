"""
Authentication, authorization and rate-limit errors.
"""

from __future__ import annotations

from sft_core.errors.base import SftError


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
