"""
Errors of the HTTP edge itself.
"""

from __future__ import annotations

from sft_core import errors
from sft_core.errors import Busy, SftError


class RequestTimeout(SftError):
    """
    What was announced of a request did not come in time.
    """

    code = "request-timeout"
    public = "The request did not come in time."


class TooManyUploads(Busy):
    """
    The user has as many uploads under way as one may have.
    """

    code = "too-many-uploads"
    public = "Too many of your uploads are under way; please try again when one has ended."


class MalformedRequest(errors.SftError):
    """
    The request's body or form is not what its headers say it is.
    """

    code = "malformed-request"
    public = "The request is malformed."

    def __init__(self, public: str) -> None:
        super().__init__()
        self.public = public


class ContentTooLarge(MalformedRequest):
    """
    A body that is no file is larger than its limit.
    """

    code = "content-too-large"


class UnsupportedMediaType(MalformedRequest):
    """
    The body is in a format this call does not take.
    """

    code = "unsupported-media-type"


class UnsupportedTusVersion(MalformedRequest):
    """
    The request speaks no version of tus, or another one than this service.
    """

    code = "tus-version-not-supported"

    def __init__(self) -> None:
        super().__init__("Send Tus-Resumable: 1.0.0; no other version of tus is spoken here.")


class ChecksumMismatch(errors.SftError):
    """
    The bytes of a request are not those that its checksum was made of.
    """

    code = "checksum-mismatch"
    public = "The bytes do not match their checksum; none of them was kept."


class InvalidIdempotencyKey(MalformedRequest):
    """
    The request's `Idempotency-Key` is none.
    """

    code = "invalid-idempotency-key"

    def __init__(self) -> None:
        super().__init__('An Idempotency-Key has 1 to 255 visible ASCII characters, as a "string" or bare, and is one.')


class InvalidTotpCode(errors.BadTotpCode):
    """
    A wrong one-time code from somebody who is signed in: a bad request, not a lack of credentials.
    """
