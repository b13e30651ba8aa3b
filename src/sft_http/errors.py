"""
Errors that only the HTTP edge raises.
"""

from __future__ import annotations

from sft_core.errors import BadTotpCode, Busy, SftError


class RequestTimeout(SftError):
    """
    A request body that arrived too slowly.
    """

    code = "request-timeout"
    public = "The request body arrived too slowly; send it again."


class TooManyUploads(Busy):
    """
    The user already has the maximum number of uploads in progress.
    """

    code = "too-many-uploads"
    public = "You have too many uploads in progress; try again when one has ended."


class MalformedRequest(SftError):
    """
    A request whose headers, body or form are malformed; `public`, if given, says in what.
    """

    code = "malformed-request"
    public = "The request is malformed."

    def __init__(self, public: str = "") -> None:
        super().__init__()
        self.public = public or self.public


class ContentTooLarge(MalformedRequest):
    """
    A body other than a file that exceeds its size limit.
    """

    code = "content-too-large"


class UnsupportedMediaType(MalformedRequest):
    """
    A body in a format that the operation does not accept.
    """

    code = "unsupported-media-type"


class UnsupportedTusVersion(MalformedRequest):
    """
    A tus request with a missing or unsupported `Tus-Resumable` header.
    """

    code = "tus-version-not-supported"
    public = "Send Tus-Resumable: 1.0.0; other versions of tus are not supported."


class ChecksumMismatch(SftError):
    """
    A request body that does not match its `Upload-Checksum`.
    """

    code = "checksum-mismatch"
    public = "The body does not match Upload-Checksum and was discarded; send it again."


class InvalidIdempotencyKey(MalformedRequest):
    """
    The `Idempotency-Key` header is malformed or repeated.
    """

    code = "invalid-idempotency-key"
    public = 'Send one Idempotency-Key: 1 to 255 visible ASCII characters, as a "quoted string" or bare.'


class InvalidTotpCode(BadTotpCode):
    """
    A wrong one-time code from an authenticated caller: 400, because the login itself is valid.
    """
