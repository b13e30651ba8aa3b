"""
What was asked is wrong, or more than may be.
"""

from __future__ import annotations

import attrs

from sft_core.errors.base import SftError


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


class IdempotencyKeyReused(SftError):
    """
    An idempotency key was sent with another request than the one that it stands for.
    """

    code = "idempotency-key-reused"
    public = "This Idempotency-Key stands for another request of yours; a new request needs a new key."


class UploadIncomplete(SftError):
    """
    The bytes that arrived are not the bytes that were announced; nothing was stored.
    """

    code = "upload-incomplete"
    public = "The upload ended before all announced bytes had arrived; nothing was stored."
