"""
Value types that validate themselves; an instance always satisfies the rule of its type.

A violated rule raises `InvalidValue`, or a subclass, with the field's name and a sentence. Import from this package.
"""

from sft_core.values.files import MAX_FILE_NAME_CHARACTERS, OCTET_STREAM, FileName, MediaType
from sft_core.values.identity import EmailAddress, FileId, Id, LinkId, SessionId, UserId, Username
from sft_core.values.quantities import MAX_PAGE_SIZE, ByteRange, Page, Rate
from sft_core.values.secrets import (
    MAX_PASSWORD_BYTES,
    MIN_PASSWORD_CHARACTERS,
    SHARE_TOKEN_BYTES,
    Password,
    Secret,
    ShareToken,
    WrappedSecret,
)

__all__ = [
    "MAX_FILE_NAME_CHARACTERS",
    "MAX_PAGE_SIZE",
    "MAX_PASSWORD_BYTES",
    "MIN_PASSWORD_CHARACTERS",
    "OCTET_STREAM",
    "SHARE_TOKEN_BYTES",
    "ByteRange",
    "EmailAddress",
    "FileId",
    "FileName",
    "Id",
    "LinkId",
    "MediaType",
    "Page",
    "Password",
    "Rate",
    "Secret",
    "SessionId",
    "ShareToken",
    "UserId",
    "Username",
    "WrappedSecret",
]
