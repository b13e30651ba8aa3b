"""
Files and manifests: entities, states, and the rules that need no port.

A file starts as an intent row (`RECEIVING`), receives immutable encrypted parts, and is sealed by one commit
(`SEALED`). Every change of state is a compare-and-set, so one of two concurrent changes succeeds. Nothing is deleted
before the change to `ABORTING` or `DELETING` is committed, and both destroy the file key first.
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
"""The length of a part's header, the unique start of its blob (file format, "Parts")."""

MANIFEST_PAGE: Final = 64
"""The number of manifest entries read or added at once; it bounds memory use."""


class FileState(enum.Enum):
    """
    A file's position in its life cycle.
    """

    RECEIVING = "receiving"
    SEALED = "sealed"
    ABORTING = "aborting"
    DELETING = "deleting"


DELETION_STATES: Final = frozenset({FileState.ABORTING, FileState.DELETING})
"""The states of a file that is being deleted; its key is already destroyed."""


class Encryption(enum.Enum):
    """
    The holder of the file key: this service, or only owner and recipients (`CLIENT`).
    """

    SERVER = "server"
    CLIENT = "client"


MAX_DOWNLOADS_BOUND: Final = 2**31 - 1
MAX_EXPIRES_HOURS: Final = 720
"""The longest lifetime of a link."""
MAX_FILE_HOURS: Final = 87_600
"""The longest remaining lifetime that an owner can set for a file: ten years."""


def check_bound(path: str, value: int | None, maximum: int) -> None:
    """
    Raise `InvalidValue` unless the value is None or 1 to `maximum`.
    """
    if value is not None and not 1 <= value <= maximum:
        raise InvalidValue(path, f"must be between 1 and {maximum}")


@attrs.frozen(kw_only=True)
class ShareTerms:
    """
    Default terms for a file's links, given at upload; a link's own terms take precedence.
    """

    max_downloads: int | None = None
    expires_hours: int | None = None

    def __attrs_post_init__(self) -> None:
        check_bound("max_downloads", self.max_downloads, MAX_DOWNLOADS_BOUND)
        check_bound("expires_hours", self.expires_hours, MAX_EXPIRES_HOURS)


def file_key_context(file_id: UUID, version: int) -> bytes:
    """
    Return the context that a file's wrapped key is bound to: file id and version.
    """
    return file_id.bytes + version.to_bytes(8, "big")


@attrs.frozen(kw_only=True)
class File:
    """
    A file of one owner.

    `size` counts plaintext bytes and is final once the file is sealed. `key` is None in both deletion states: without
    it the stored parts cannot be decrypted. `touched_at` is the time at which bytes were last received, to the minute
    (`StorePart`), or at which deletion was decided; an upload that is idle for too long is aborted. From `expires_at`
    on, if the owner has set it, the file is absent for every caller, and a sweep deletes what is stored.
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
        return self.expires_at is not None and self.expires_at <= now

    @property
    def key_context(self) -> bytes:
        return file_key_context(self.id.value, self.version)

    def part_context(self, number: int) -> bytes:
        """
        Return the context that part `number` is bound to (docs/reference/file-format, "Vault").
        """
        return b"sft/v1/vault/" + self.key_context + number.to_bytes(8, "big")

    def blob_key(self, number: int, nonce: bytes) -> str:
        """
        Return a blob key for part `number`, unique by its nonce, without any user text.
        """
        return f"{blob_prefix(self.id)}{self.version:x}-{number:08x}-{nonce.hex()}"

    @property
    def etag(self) -> str:
        """
        The strong entity tag of the file's bytes (RFC 9110, section 8.8.3), without its quotes.
        """
        return f"{self.id.value.hex}-{self.version}"

    @property
    def whole(self) -> ByteRange:
        return ByteRange(0, self.size)

    def sealed(self, *, size: int, terms: ShareTerms) -> File:
        return attrs.evolve(self, state=FileState.SEALED, size=size, terms=terms)

    def aborted(self, now: datetime) -> File:
        return attrs.evolve(self, state=FileState.ABORTING, key=None, touched_at=max(self.touched_at, now))

    def deleting(self, now: datetime) -> File:
        return attrs.evolve(self, state=FileState.DELETING, key=None, touched_at=max(self.touched_at, now))


_BLOB_KEY: Final = re.compile(r"([0-9a-f]{32})/[0-9a-f]+-[0-9a-f]{8,}-[0-9a-f]{16}")


def blob_prefix(file_id: FileId) -> str:
    """
    Return the common prefix of all blob keys of a file (`File.blob_key`).
    """
    return f"{file_id.value.hex}/"


def file_id_of_blob(blob_key: str) -> FileId | None:
    """
    Return the file id in a blob key; None for any other key.
    """
    ours = _BLOB_KEY.fullmatch(blob_key)
    return FileId(UUID(hex=ours[1])) if ours else None


@attrs.frozen(kw_only=True)
class Part:
    """
    One entry of a manifest: the blob that stores `size` plaintext bytes from offset `start`.

    `stored_size` is the length of the blob in bytes. `header` repeats its first bytes, so that a swapped or rolled-back
    blob does not match the manifest.
    """

    number: int
    start: int
    size: int
    stored_size: int
    blob_key: str
    header: bytes = attrs.field(repr=False)

    @property
    def span(self) -> ByteRange:
        return ByteRange(self.start, self.start + self.size)


class UploadKind(enum.Enum):
    """
    The kind of a resumable upload: a file, a concatenation's source, or its result.
    """

    WHOLE = "whole"
    PARTIAL = "partial"
    FINAL = "final"


@attrs.frozen(kw_only=True)
class ResumableUpload:
    """
    The row of a resumable upload, beside its file's row.

    `length` in bytes is None until the client announces it. `metadata` is the client's own text, returned unchanged.
    `sources` are a final upload's partial uploads, in order. Only the holder of the latest `fencing_token` may append.
    """

    file_id: FileId
    kind: UploadKind = UploadKind.WHOLE
    length: int | None = None
    is_public: bool = False
    metadata: str = ""
    sources: tuple[FileId, ...] = ()
    fencing_token: int = 0


@attrs.frozen(kw_only=True)
class VaultPolicy:
    """
    The limits of a vault: file size, file-name extensions, and quota of an owner.

    An empty set of extensions allows every one. Sizes are plaintext bytes. `quota` limits the reservations of all files
    of one owner; None is no limit.
    """

    max_file_size: int
    allowed_extensions: frozenset[str] = frozenset()
    quota: int | None = None

    def check_name(self, name: FileName) -> None:
        if self.allowed_extensions and name.extension not in self.allowed_extensions:
            raise FileTypeNotAllowed(name.extension)

    def check_size(self, size: int) -> None:
        if size > self.max_file_size:
            raise FileTooLarge(self.max_file_size)
