"""
A file and its manifest: entities, states and the rules that need nothing else.

A file is an intent first (`RECEIVING`), then immutable encrypted parts, then one commit
(`SEALED`). Each change of state is a compare-and-set, so of two that race one wins; nothing is
deleted before `ABORTING` or `DELETING` has been won, and both destroy the file key first.
"""

from __future__ import annotations

import enum
import re
from datetime import datetime
from typing import Final
from uuid import UUID

import attrs

from sft_core.errors import FileTooLarge, FileTypeNotAllowed, InvalidValue
from sft_core.values import ByteRange, FileId, FileName, MediaType, UserId, WrappedSecret

FILE_KEY_BYTES: Final = 32
FILE_KEY_PURPOSE: Final = "file-key"

PART_HEADER_BYTES: Final = 56
"""How many bytes each part's blob begins with that no other part has (file format, "Parts")."""

MANIFEST_PAGE: Final = 64
"""How many parts are read from or added to a manifest at once: memory stays flat at any file size."""


class FileState(enum.Enum):
    """
    Where a file stands on its way from intent to oblivion.
    """

    RECEIVING = "receiving"
    SEALED = "sealed"
    ABORTING = "aborting"
    DELETING = "deleting"


CONDEMNED: Final = frozenset({FileState.ABORTING, FileState.DELETING})
"""The states of a file whose end has been decided: its key is destroyed, and what is left of it goes."""


class Encryption(enum.Enum):
    """
    Who holds the key to a file's content: this service, or only the people who share it.
    """

    SERVER = "server"
    CLIENT = "client"


@attrs.frozen(kw_only=True)
class ShareTerms:
    """
    What the owner asked at upload of the links to a file, for links that do not say otherwise.
    """

    max_downloads: int | None = None
    expires_hours: int | None = None

    def __attrs_post_init__(self) -> None:
        check_max_downloads(self.max_downloads)
        check_expires_hours(self.expires_hours)


MAX_DOWNLOADS_BOUND: Final = 2**31 - 1
MAX_EXPIRES_HOURS: Final = 720
MAX_FILE_HOURS: Final = 87_600
"""How long ahead the end of a file may be set: ten years."""


def check_max_downloads(count: int | None) -> None:
    """
    Raise `InvalidValue` unless the budget is absent or a positive 31-bit number.
    """
    if count is not None and not 1 <= count <= MAX_DOWNLOADS_BOUND:
        raise InvalidValue("max_downloads", f"must be between 1 and {MAX_DOWNLOADS_BOUND}")


def check_expires_hours(hours: int | None) -> None:
    """
    Raise `InvalidValue` unless the lifetime is absent or 1 to 720 hours.
    """
    if hours is not None and not 1 <= hours <= MAX_EXPIRES_HOURS:
        raise InvalidValue("expires_hours", f"must be between 1 and {MAX_EXPIRES_HOURS}")


def check_file_hours(hours: int | None) -> None:
    """
    Raise `InvalidValue` unless the rest of a file's life is absent or 1 to 87 600 hours.
    """
    if hours is not None and not 1 <= hours <= MAX_FILE_HOURS:
        raise InvalidValue("expires_hours", f"must be between 1 and {MAX_FILE_HOURS}")


def file_key_context(file_id: UUID, version: int) -> bytes:
    """
    What the wrapped key of a file's version is bound to: file id and version.
    """
    return file_id.bytes + version.to_bytes(8, "big")


@attrs.frozen(kw_only=True)
class File:
    """
    A file in somebody's vault. `size` counts plaintext bytes and is final once it is sealed.

    `key` is None as soon as the file is condemned: without it the stored parts are noise.
    `touched_at` tells when bytes of it last came, to the minute (`StorePart`), or when its end was
    decided: an upload that rests for too long is given up. From `expires_at` on, if its owner has
    set it, the file is gone for everybody, and a sweep removes what is left of it.
    """

    id: FileId
    owner: UserId
    name: FileName
    original_name: FileName
    media_type: MediaType
    created_at: datetime
    touched_at: datetime = attrs.field(default=attrs.Factory(lambda file: file.created_at, takes_self=True))
    state: FileState = FileState.RECEIVING
    size: int = 0
    version: int = 1
    encryption: Encryption = Encryption.SERVER
    key: WrappedSecret | None = attrs.field(default=None, repr=False)
    terms: ShareTerms = attrs.field(factory=ShareTerms)
    expires_at: datetime | None = None

    def is_expired(self, now: datetime) -> bool:
        """
        Whether the file's own end has come.
        """
        return self.expires_at is not None and self.expires_at <= now

    @property
    def key_context(self) -> bytes:
        """
        What the wrapped file key is bound to: file id and version.
        """
        return file_key_context(self.id.value, self.version)

    def part_context(self, number: int) -> bytes:
        """
        What part `number` is bound to (docs/reference/file-format, "Vault").
        """
        return b"sft/v1/vault/" + self.key_context + number.to_bytes(8, "big")

    @property
    def blob_prefix(self) -> str:
        """
        The beginning of every blob key of this file: ids only, no user's text.
        """
        return blob_prefix(self.id)

    def blob_key(self, number: int, nonce: bytes) -> str:
        """
        A key for part `number` of this version; the nonce makes each attempt's key its own.
        """
        return f"{self.blob_prefix}{self.version:x}-{number:08x}-{nonce.hex()}"

    @property
    def etag(self) -> str:
        """
        A strong validator of the content (RFC 9110, section 8.8.3), without its quotes.
        """
        return f"{self.id.value.hex}-{self.version}"

    @property
    def whole(self) -> ByteRange:
        """
        All bytes of the file.
        """
        return ByteRange(0, self.size)

    def sealed(self, *, size: int, terms: ShareTerms) -> File:
        """
        This file, complete.
        """
        return attrs.evolve(self, state=FileState.SEALED, size=size, terms=terms)

    def aborted(self, now: datetime) -> File:
        """
        This upload, given up just now, its key destroyed.
        """
        return attrs.evolve(self, state=FileState.ABORTING, key=None, touched_at=max(self.touched_at, now))

    def condemned(self, now: datetime) -> File:
        """
        This file, about to be deleted from now on, its key destroyed.
        """
        return attrs.evolve(self, state=FileState.DELETING, key=None, touched_at=max(self.touched_at, now))


_BLOB_KEY: Final = re.compile(r"([0-9a-f]{32})/[0-9a-f]+-[0-9a-f]{8,}-[0-9a-f]{16}")


def blob_prefix(file_id: FileId) -> str:
    """
    The beginning of every blob key of a file (`File.blob_key`).
    """
    return f"{file_id.value.hex}/"


def file_of(blob_key: str) -> FileId | None:
    """
    Whose part a blob is by its key; None if it is no key of ours (`File.blob_key`).
    """
    ours = _BLOB_KEY.fullmatch(blob_key)
    return FileId(UUID(hex=ours[1])) if ours else None


@attrs.frozen(kw_only=True)
class Part:
    """
    One line of a manifest: where `size` plaintext bytes from `start` are kept, and their header.

    `stored_size` is the length of the blob. The header repeats the blob's first bytes, so a blob
    that was swapped or rolled back does not match the manifest.
    """

    number: int
    start: int
    size: int
    stored_size: int
    blob_key: str
    header: bytes = attrs.field(repr=False)

    @property
    def span(self) -> ByteRange:
        """
        The plaintext bytes of the file that this part holds.
        """
        return ByteRange(self.start, self.start + self.size)


class UploadKind(enum.Enum):
    """
    What a resumable upload becomes: a file, a piece of one, or the file that pieces are put together to.
    """

    WHOLE = "whole"
    PARTIAL = "partial"
    FINAL = "final"


@attrs.frozen(kw_only=True)
class ResumableUpload:
    """
    What is kept of an upload that may be broken off and gone on with, beside its file's row.

    `length` is None until it is announced. `metadata` is the client's own text about it, given back
    as it came. `sources` are the pieces of a final one, in order. `writer` counts who has taken the
    upload over: only the latest may add to it.
    """

    file_id: FileId
    kind: UploadKind = UploadKind.WHOLE
    length: int | None = None
    is_public: bool = False
    metadata: str = ""
    sources: tuple[FileId, ...] = ()
    writer: int = 0


@attrs.frozen(kw_only=True)
class VaultPolicy:
    """
    What may be put into a vault. Sizes are plaintext bytes; no extensions means any.

    `quota` bounds what all files of one owner hold together; None is no bound.
    """

    max_file_size: int
    allowed_extensions: frozenset[str] = frozenset()
    quota: int | None = None

    def admit_name(self, name: FileName) -> None:
        """
        Raise `FileTypeNotAllowed` if the name's extension is not among the allowed ones.
        """
        if self.allowed_extensions and name.extension not in self.allowed_extensions:
            raise FileTypeNotAllowed(name.extension)

    def admit_size(self, size: int) -> None:
        """
        Raise `FileTooLarge` if there are more bytes than allowed.
        """
        if size > self.max_file_size:
            raise FileTooLarge(self.max_file_size)
