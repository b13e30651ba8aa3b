"""
What the vault's use cases need from outside. The docstring is the contract.
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
    The files, seen from inside one unit of work.
    """

    def add(self, file: File) -> None:
        """
        Store the intent to receive a file, or one that is sealed already; twice is a `Conflict`.
        """
        ...

    def get(self, file_id: FileId) -> File | None:
        """
        The file in whatever state, or None.
        """
        ...

    def list_sealed(self, owner: UserId, page: Page, *, now: datetime) -> Sequence[File]:
        """
        The owner's sealed files that have not expired, newest first (by creation, then by id).
        """
        ...

    def replace(self, file: File, *, expected: FileState) -> bool:
        """
        Store the file's state, size, names, terms, end and when it last moved, if its stored state is `expected`.

        When it last moved never goes back: somebody else may have moved it since it was read.

        False, changing nothing, if it is another or the file is gone. A file without a key has its
        stored key destroyed; any other key stays as it is stored, for it may have been wrapped
        anew since the file was read.
        """
        ...

    def remove(self, file_id: FileId) -> None:
        """
        Forget an aborting or deleting file, its manifest and its links; any other stays.

        What it still holds of its owner's quota is given back with it.
        """
        ...


class Manifests(Protocol):
    """
    Which parts make up a file, seen from inside one unit of work.
    """

    def append(self, file_id: FileId, parts: Sequence[Part]) -> None:
        """
        Add parts to a file's manifest; a number that is there already is a `Conflict`.
        """
        ...

    def covering(self, file_id: FileId, span: ByteRange, *, limit: int) -> Sequence[Part]:
        """
        The first `limit` parts, by number, that hold a byte of `span`.
        """
        ...

    def tail(self, file_id: FileId, *, limit: int) -> Sequence[Part]:
        """
        The last `limit` parts, by number.
        """
        ...

    def cut(self, file_id: FileId, number: int) -> None:
        """
        Forget the parts of this number and above, whose bytes come again in other parts.
        """
        ...

    def totals(self, file_id: FileId) -> tuple[int, int]:
        """
        How many parts there are, and how many plaintext bytes they hold together.
        """
        ...


class Quotas(Protocol):
    """
    How many plaintext bytes each file holds of its owner's quota, seen from inside one unit of work.

    What an owner uses is at any time the sum of what the owner's files hold, in whatever state
    they are.
    """

    def hold(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        """
        Let a file hold `size` bytes, more or fewer than it did; without a limit it always may.

        False, changing nothing, if it would hold more than before and its owner then use more than
        `limit`. However many ask at once, no owner's use is ever grown beyond it. `UploadAborted`,
        changing nothing, if the file is aborting, deleting or gone.
        """
        ...

    def release(self, file_id: FileId) -> None:
        """
        Give back what an aborting or deleting file holds, once; any other keeps it.
        """
        ...

    def used(self, owner: UserId) -> int:
        """
        How many bytes the owner's files hold together.
        """
        ...


class ResumableUploads(Protocol):
    """
    What is kept of uploads that may be gone on with, seen from inside one unit of work.

    It goes when its file is removed. Whoever changes an upload has touched its file in the same
    unit before: all who change both lock them in this order.
    """

    def add(self, upload: ResumableUpload) -> None:
        """
        Store what there is to know beside a file that is stored; twice for one file is a `Conflict`.
        """
        ...

    def get(self, file_id: FileId) -> ResumableUpload | None:
        """
        What is stored beside this file, or None.
        """
        ...

    def take_over(self, file_id: FileId) -> int | None:
        """
        Make the caller the writer: a number that nobody before has had; None if there is no such upload.

        Of any number of callers each gets a number of its own, and the greatest is the writer.
        """
        ...

    def is_writer(self, file_id: FileId, writer: int) -> bool:
        """
        Whether nobody has taken the upload over since; if so, nobody does until this unit has ended.
        """
        ...

    def fix_length(self, file_id: FileId, length: int) -> bool:
        """
        Announce the length; False, changing nothing, if it was announced before, or there is no such upload.
        """
        ...


class VaultUnit(UnitOfWork, Protocol):
    """
    A unit of work over files, their manifests, their uploads, and what they hold of their owners' quotas.
    """

    @property
    def files(self) -> FileRepository:
        """
        The files as this unit sees them.
        """
        ...

    @property
    def manifests(self) -> Manifests:
        """
        The manifests as this unit sees them.
        """
        ...

    @property
    def uploads(self) -> ResumableUploads:
        """
        What is kept of resumable uploads, as this unit sees it.
        """
        ...

    @property
    def quotas(self) -> Quotas:
        """
        What files hold as this unit sees it.
        """
        ...


@attrs.frozen(kw_only=True)
class BlobInfo:
    """
    What a listing tells of a blob: its key, its length in bytes, when it was stored.
    """

    key: str
    size: int
    stored_at: datetime


class BlobStore(Protocol):
    """
    Keeps immutable blobs under generated keys (`[0-9a-f-]+/[0-9a-f-]+`); it never sees plaintext.

    `BlobStoreUnavailable` and `BlobStoreFull` may come out of every call.
    """

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        """
        Store a new blob of exactly `size` bytes, durable when the call returns, or nothing at all.

        Each piece is used up before the next is asked for, so the caller may reuse its buffer.
        `BlobExists`, changing nothing, if the key is taken; `BlobSizeMismatch` if the pieces do
        not add up to `size`. What a put was acknowledged to have stored, no later one replaces,
        from whatever process. Keys are random, so two puts of one key never overlap: should they,
        a store may acknowledge both, and has then one of the two contents, whole.
        """
        ...

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        """
        Fill the whole buffer with the blob's bytes from `start`.

        `BlobMissing` if there is no such blob; `BlobSizeMismatch` if it is not `size` bytes long
        or ends before the buffer is full. On an error the buffer's content is undefined.
        """
        ...

    def delete(self, key: str) -> None:
        """
        Remove the blob; one that is gone is no error.
        """
        ...

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """
        Every blob whose key starts with `prefix`, in no order; blobs under way are not listed.

        `BlobStoreUnavailable` comes after some or all of what could be listed, if not all could be.
        """
        ...


class Marked(Protocol):
    """
    Says to which database a store belongs: the same random word, the mark, stands in both.

    A store has a mark from the first start of a service on it, and so has a database. Neither ever
    changes: who means another one takes the store's away by hand.
    """

    def mark(self) -> str | None:
        """
        The mark, or None if there is none; what stands in its place and is no mark comes as an empty word.
        """
        ...

    def set_mark(self, mark: str) -> str:
        """
        Store a mark (32 of `0-9a-f`) if there is none, durable like whatever is kept here; the mark that is there now.

        Of any number that are set at once one stays. It is no blob: no listing has it, and nothing
        that is done to blobs changes it.
        """
        ...


class MarkedStore(BlobStore, Marked, Protocol):
    """
    A blob store that says to which database it belongs.
    """


class Room(Protocol):
    """
    Tells before an upload begins whether a store could take it.
    """

    def admit_bytes(self, size: int) -> None:
        """
        `BlobStoreFull` if it is plain by now that so many bytes more do not fit.

        Nothing is held for who asks, so what is admitted may still find no room later. A store
        that cannot tell admits everything; one that is away is `BlobStoreUnavailable`.
        """
        ...


@attrs.frozen(kw_only=True)
class EncryptedPart:
    """
    One part, encrypted: its header, the whole message's length, and the message in pieces.

    The pieces, header first, can be taken once and one at a time: their buffer is reused.
    """

    header: bytes = attrs.field(repr=False)
    size: int
    pieces: Iterator[Buffer] = attrs.field(repr=False)

    def pieces_then(self, taken: Callable[[], object] | None) -> Iterator[Buffer]:
        """
        The pieces; when somebody asks for one more than there are, all is encrypted and `taken` is called.
        """
        yield from self.pieces
        if taken is not None:
            taken()


class PartReader(Protocol):
    """
    Decrypts one part; made by `ContentCipher.reader`, which has checked the header.
    """

    def windows(self, span: ByteRange) -> Iterator[ByteRange]:
        """
        The runs of ciphertext, in order, that hold these plaintext bytes of the part.

        Each is about 2 MiB at most, and a range of the stored blob. An empty span has none.
        """
        ...

    def decrypt(self, window: ByteRange, ciphertext: memoryview, span: ByteRange) -> Buffer:
        """
        Authenticate one window and return those of its plaintext bytes that lie in `span`.

        They have memory of their own: the ciphertext's may be used again at once.
        `AuthenticationFailed` if a single bit is not what was encrypted; then nothing is returned.
        """
        ...


class ContentCipher(Protocol):
    """
    Encrypts parts (docs/reference/file-format): each one message under a salt of its own.
    """

    def encrypt(self, key: Secret, *, context: bytes, plaintext: Buffer) -> EncryptedPart:
        """
        Encrypt one part, bound to `context`.
        """
        ...

    def reader(self, key: Secret, *, context: bytes, header: bytes, size: int) -> PartReader:
        """
        Prepare to decrypt a part of `size` plaintext bytes.

        `AuthenticationFailed` if the header does not belong to this key and context.
        """
        ...
