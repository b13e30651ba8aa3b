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
