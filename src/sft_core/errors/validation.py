"""
Errors about the request: invalid input and exceeded limits.
"""

from __future__ import annotations

import attrs

from sft_core.errors.base import SftError


@attrs.frozen
class FieldError:
    """
    One problem with one input: the input's path and a sentence.
    """

    path: str
    message: str


class InvalidInput(SftError):
    """
    The input violates a rule; `faults` lists every violation.
    """

    code = "invalid-input"
    public = "The input is not valid."

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in errors))
        self.errors = errors


class InvalidValue(InvalidInput):
    """
    One value violates the rule of its type.
    """

    code = "invalid-value"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(FieldError(path, message))


class InvalidFileName(InvalidValue):
    """
    A file name contains forbidden characters, or is reserved by a file system.
    """

    code = "invalid-file-name"

    def __init__(self, message: str) -> None:
        super().__init__("file", message)


class FileTypeNotAllowed(SftError):
    """
    The extension of the file name is not among the allowed ones.
    """

    code = "file-type-not-allowed"

    def __init__(self, extension: str) -> None:
        super().__init__()
        self.extension = extension
        self.public = f"File type {extension or '(none)'} not allowed"


class FileTooLarge(SftError):
    """
    More than `limit` bytes were announced or received.
    """

    code = "file-too-large"

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.public = f"The file is larger than the limit of {limit} bytes."


class QuotaExceeded(SftError):
    """
    The file exceeds the owner's quota: `used` of `quota` bytes are reserved by others.
    """

    code = "quota-exceeded"

    def __init__(self, *, quota: int, used: int) -> None:
        super().__init__()
        self.quota = quota
        self.used = used
        self.public = f"The file exceeds your quota: {used} of {quota} bytes are in use."


class IdempotencyKeyReused(SftError):
    """
    An idempotency key was sent with a request that differs from its first one.
    """

    code = "idempotency-key-reused"
    public = "This Idempotency-Key was used for a different request; a new request needs a new key."


class UploadIncomplete(SftError):
    """
    The bytes received are not the bytes announced; nothing was stored.
    """

    code = "upload-incomplete"
    public = "The upload ended before all announced bytes were received; nothing was stored."
