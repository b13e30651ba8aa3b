"""
Who asks is not known, may not do it, or has tried too often.
"""

from __future__ import annotations

from sft_core.errors.base import SftError


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


class UploadIsFinal(NotAllowed):
    """
    Bytes were sent to an upload that is put together from others.
    """

    code = "upload-is-final"
    public = "This upload is put together from others; nothing can be added to it."


class DownloadLimitReached(NotAllowed):
    """
    Every download that the link allows has been spent.
    """

    code = "download-limit-reached"
    public = "Download limit reached"


class TooManyAttempts(SftError):
    """
    Too many tries at one thing in too short a time; the next one counts after `retry_after` seconds.
    """

    code = "too-many-attempts"
    public = "Too many attempts; please try again later."

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after
