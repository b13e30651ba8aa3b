"""
Ports of the vault. Each docstring is a contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

import attrs

from sft_core.ports import UnitOfWork
from sft_core.values import ByteRange, FileId, Page, Secret, UserId
from sft_core.vault.model import File, FileState, Part, ResumableUpload

Buffer: TypeAlias = bytes | bytearray | memoryview


class FileRepository(Protocol):
    """
    The rows of files, within one unit of work.
    """

    def add(self, file: File) -> None:
        """
        Store an intent row, or a file that is already sealed.

        Raises:
            Conflict: A file with this id is stored.
            KeyRetired: The file's key was wrapped under a retired key.
        """

    def get(self, file_id: FileId) -> File | None:
        """
        Return the file in any state, or None.
        """

    def list_sealed(self, owner: UserId, page: Page, *, now: datetime) -> Sequence[File]:
        """
        Return the owner's unexpired sealed files, newest first (by creation, then by id).
        """

    def replace(self, file: File, *, expected: FileState) -> bool:
        """
        Update a file, if its stored state is `expected`; otherwise return False and change nothing.

        Updates the state, size, names, media type, terms, `expires_at` and `touched_at`, which never decreases: another
        caller may have updated it after the file was read. A file without a key has its stored key destroyed. Any other
        key stays as stored: it may have been re-wrapped after the file was read.
        """

    def remove(self, file_id: FileId) -> None:
        """
        Delete an aborting or deleting file with its manifest, links and reservation; keep any other.
        """


class Manifests(Protocol):
    """
    The manifests: which parts make up a file, within one unit of work.
    """

    def append(self, file_id: FileId, parts: Sequence[Part]) -> None:
        """
        Add parts to a file's manifest; raise `Conflict` if one of their numbers is taken.
        """

    def covering(self, file_id: FileId, span: ByteRange, *, limit: int) -> Sequence[Part]:
        """
        Return the first `limit` parts, by number, that contain a byte of `span`.
        """

    def tail(self, file_id: FileId, *, limit: int) -> Sequence[Part]:
        """
        Return the last `limit` parts, in ascending order of their numbers.
        """

    def truncate(self, file_id: FileId, number: int) -> None:
        """
        Delete the parts from `number` on; the caller adds their bytes again in others.
        """

    def totals(self, file_id: FileId) -> tuple[int, int]:
        """
        Return the number of parts and the sum of their plaintext bytes.
        """


class Quotas(Protocol):
    """
    Quota reservations of files in plaintext bytes, within one unit of work.

    An owner's use is at any time the sum of the reservations of the owner's files, in every state.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        """
        Set a file's reservation to `size` bytes, more or fewer than before.

        False, changing nothing, if the reservation would grow and the owner's use exceed `limit`; None is no limit.
        Under any concurrency no call raises an owner's use above its limit. A reservation can always shrink.

        Raises `UploadAborted`, changing nothing, if the file is aborting, deleting or deleted.
        """

    def release(self, file_id: FileId) -> None:
        """
        Release, once, the reservation of an aborting or deleting file; any other keeps its own.
        """

    def used(self, owner: UserId) -> int: ...


class ResumableUploads(Protocol):
    """
    The rows of resumable uploads beside those of their files, within one unit of work.

    Removing the file removes the row. A caller that changes an upload changes its file's row first in the same unit:
    this is the lock order for every change of both.
    """

    def add(self, upload: ResumableUpload) -> None:
        """
        Store an upload of a stored file; raise `Conflict` if the file has one.
        """

    def get(self, file_id: FileId) -> ResumableUpload | None: ...

    def acquire(self, file_id: FileId) -> int | None:
        """
        Make the caller the writer and return its fencing token; None without an upload.

        Each caller gets a token of its own, greater than all previous ones. The greatest is the writer's.
        """

    def is_current(self, file_id: FileId, fencing_token: int) -> bool:
        """
        Return whether `fencing_token` is the latest; it then stays so until the unit ends.
        """

    def set_length(self, file_id: FileId, length: int) -> bool:
        """
        Set the upload's length in bytes, once; False, changing nothing, if set or missing.
        """


class VaultUnit(UnitOfWork, Protocol):
    """
    A unit of work over files, manifests, resumable uploads and quota reservations.
    """

    @property
    def files(self) -> FileRepository: ...

    @property
    def manifests(self) -> Manifests: ...

    @property
    def uploads(self) -> ResumableUploads: ...

    @property
    def quotas(self) -> Quotas: ...


@attrs.frozen(kw_only=True)
class BlobInfo:
    """
    One blob in a listing: its key, length in bytes, and storage time.
    """

    key: str
    size: int
    stored_at: datetime


class BlobStore(Protocol):
    """
    A store of immutable blobs under generated keys (`[0-9a-f-]+/[0-9a-f-]+`); it never receives plaintext.

    Raises:
        BlobStoreUnavailable: From every call: the store does not respond, or not in time.
        BlobStoreFull: From every call: the store has no free space.
    """

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        """
        Store a new blob of exactly `size` bytes, durably or not at all.

        It is durable when the call returns. Each piece is consumed before the next is requested, so the caller may
        reuse its buffer. No later put, from any process, replaces a blob that was acknowledged. Keys are random, so
        concurrent puts of one key do not occur in practice: if they did, a store may acknowledge both, and then has the
        complete bytes of one of them.

        Raises:
            BlobExists: A blob with this key is stored; it is not changed.
            BlobSizeMismatch: The pieces do not add up to `size` bytes.
        """

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        """
        Fill the whole buffer from offset `start`; after an error its contents are undefined.

        Raises:
            BlobMissing: There is no such blob.
            BlobSizeMismatch: The blob is not `size` bytes long, or ends before the buffer is full.
        """

    def delete(self, key: str) -> None:
        """
        Delete the blob; a missing blob is no error.
        """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """
        List every blob whose key starts with `prefix`, in no order, without unfinished puts.

        If the listing is incomplete, `BlobStoreUnavailable` is raised after the blobs that could be listed.
        """


class StoreIdentity(Protocol):
    """
    A store identity: the same random id in a blob store and its database.

    The first start of the service sets the id of both. It never changes. To pair a store with another database, an
    operator removes the store's id by hand.
    """

    def store_id(self) -> str | None:
        """
        Return the store id, None if there is none, "" if it is invalid.
        """

    def set_store_id(self, store_id: str) -> str:
        """
        Store an id if there is none, and return the one stored now.

        An id is 32 of `0-9a-f`. It is as durable as everything else in the store or database. Of any number of
        concurrent calls one id is kept. It is not a blob: no listing contains it, and no operation on blobs changes it.
        """


class IdentifiedBlobStore(BlobStore, StoreIdentity, Protocol):
    """
    A blob store with a store identity.
    """


class CapacityCheck(Protocol):
    """
    A check before an upload starts that `size` more bytes may fit.

    A store that cannot determine it accepts every size. Nothing is reserved, so an upload that passes may run out of
    space later.

    Raises:
        BlobStoreFull: The bytes certainly do not fit at present.
        BlobStoreUnavailable: The store does not respond.
    """

    def require_bytes(self, size: int) -> None: ...


@attrs.frozen(kw_only=True)
class EncryptedPart:
    """
    One encrypted part: its header, its total length, and its pieces, starting with the header.

    The pieces can be iterated once; they share one buffer, so each is valid until the next is requested.
    """

    header: bytes = attrs.field(repr=False)
    size: int
    pieces: Iterator[Buffer] = attrs.field(repr=False)

    def pieces_then(self, on_encrypted: Callable[[], object] | None) -> Iterator[Buffer]:
        """
        Yield the pieces, then call `on_encrypted`: by then the whole part is encrypted.
        """
        yield from self.pieces
        if on_encrypted is not None:
            on_encrypted()


class PartReader(Protocol):
    """
    A decrypter of one part; `ContentCipher.reader` creates it once the header is authenticated.
    """

    def windows(self, span: ByteRange) -> Iterator[ByteRange]:
        """
        Return the ranges of the blob that contain these plaintext bytes, in order.

        Each is about 2 MiB at most. An empty span has none.
        """

    def decrypt(self, window: ByteRange, ciphertext: memoryview, span: ByteRange) -> Buffer:
        """
        Authenticate one window and return those of its plaintext bytes that are in `span`.

        The result has its own memory, so the buffer of the ciphertext can be reused at once. Raises
        `AuthenticationFailed`, returning no plaintext, if a bit differs from what was encrypted.
        """


class ContentCipher(Protocol):
    """
    Encryption of parts (docs/reference/file-format): each is one message under its own salt, bound to `context`.
    """

    def encrypt(self, key: Secret, *, context: bytes, plaintext: Buffer) -> EncryptedPart: ...

    def reader(self, key: Secret, *, context: bytes, header: bytes, size: int) -> PartReader:
        """
        Prepare to decrypt `size` plaintext bytes; raise `AuthenticationFailed` unless key, context and header match.
        """
