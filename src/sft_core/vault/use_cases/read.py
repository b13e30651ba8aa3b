"""
Find, list and read files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from sft_core.errors import Damaged, FileNotFound
from sft_core.ports import Clock, KeyRing, UnitOfWorkFactory
from sft_core.values import ByteRange, FileId, Page, Secret, UserId
from sft_core.vault.model import DELETION_STATES, FILE_KEY_PURPOSE, MANIFEST_PAGE, File, FileState, Part
from sft_core.vault.ports import BlobStore, Buffer, ContentCipher, PartReader, VaultUnit


@attrs.frozen(kw_only=True)
class FindFile:
    """
    Return an owner's file; raise `FileNotFound` unless it is sealed and not expired.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    clock: Clock

    def __call__(self, *, owner: UserId, file_id: FileId) -> File:
        with self.begin(read_only=True) as unit:
            return self.within(unit, owner=owner, file_id=file_id)

    def within(self, unit: VaultUnit, *, owner: UserId, file_id: FileId) -> File:
        file = unit.files.get(file_id)
        if file is None or file.owner != owner or file.state is not FileState.SEALED:
            raise FileNotFound
        if file.is_expired(self.clock.now()):
            raise FileNotFound
        return file


@attrs.frozen(kw_only=True)
class ListFiles:
    """
    Return a page of the owner's files, newest first.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    clock: Clock

    def __call__(self, *, owner: UserId, page: Page) -> tuple[File, ...]:
        with self.begin(read_only=True) as unit:
            return tuple(unit.files.list_sealed(owner, page, now=self.clock.now()))


@attrs.frozen
class BufferPool:
    """
    A pool of reusable ciphertext buffers, which grows to the number of concurrent reads.
    """

    _idle: list[bytearray] = attrs.field(factory=list, init=False, repr=False)

    @contextmanager
    def borrow(self, size: int) -> Iterator[memoryview]:
        """
        Lend a buffer of `size` bytes, with undefined contents, for the duration of the block.
        """
        try:
            buffer = self._idle.pop()
        except IndexError:
            buffer = bytearray()
        if len(buffer) < size:
            buffer = bytearray(size)
        try:
            yield memoryview(buffer)[:size]
        finally:
            self._idle.append(buffer)

    def clear(self) -> None:
        self._idle.clear()


@attrs.frozen(kw_only=True)
class ReadFile:
    """
    Read a range of a sealed file as authenticated buffers of about 2 MiB.

    Authorization is the caller's task. Between two buffers the iterator occupies no thread, connection or open file,
    and keeps no reference to a buffer it returned. It ends after exactly the requested bytes, or raises.

    Raises:
        FileNotFound: The file was deleted, before or during the read.
        Damaged: The stored bytes differ from those that were stored.
        UnknownKey: The ring does not contain the key that wraps the file key.
        UnwrapFailed: The file key does not unwrap.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    keyring: KeyRing
    cipher: ContentCipher
    blobs: BlobStore
    _buffers: BufferPool = attrs.field(factory=BufferPool, init=False, repr=False)

    def __call__(self, file: File, span: ByteRange | None = None) -> Iterator[Buffer]:
        wanted = file.whole.intersection(span) if span is not None else file.whole
        return self._unless_deleted(file, self._read(file, file_key(self.keyring, file), wanted))

    def release_buffers(self) -> None:
        """
        Free the buffers kept for later reads, which then allocate new ones. Thread-safe.
        """
        self._buffers.clear()

    def _unless_deleted(self, file: File, pieces: Iterator[Buffer]) -> Iterator[Buffer]:
        try:
            yield from pieces
        except Damaged:
            # The parts disappear during a deletion; that is not damage.
            with self.begin(read_only=True) as unit:
                present = unit.files.get(file.id)
            if present is None or present.state in DELETION_STATES:
                raise FileNotFound from None
            raise

    def _read(self, file: File, key: Secret, wanted: ByteRange) -> Iterator[Buffer]:
        for part in self._parts(file, wanted):
            span = part.span.intersection(wanted).shifted(-part.start)
            context = file.part_context(part.number)
            reader = self.cipher.reader(key, context=context, header=part.header, size=part.size)
            for window in reader.windows(span):
                # Yielded without a name, since a local variable would keep the buffer alive until the next one.
                yield self._decrypted(part, reader, window, span)

    def _decrypted(self, part: Part, reader: PartReader, window: ByteRange, span: ByteRange) -> Buffer:
        with self._buffers.borrow(len(window)) as ciphertext:
            self.blobs.read_into(part.blob_key, window.start, ciphertext, size=part.stored_size)
            return reader.decrypt(window, ciphertext, span)

    def _parts(self, file: File, wanted: ByteRange) -> Iterator[Part]:
        position = wanted.start
        while position < wanted.stop:
            with self.begin(read_only=True) as unit:
                parts = unit.manifests.covering(file.id, ByteRange(position, wanted.stop), limit=MANIFEST_PAGE)
            if not parts:
                # The file was deleted during the read, or a row is missing; the rest cannot be delivered.
                raise Damaged(f"file {file.id}: no part contains byte {position}")
            for part in parts:
                if not part.start <= position < part.span.stop:
                    raise Damaged(f"file {file.id}: no part contains byte {position}")
                yield part
                position = part.span.stop


def file_key(keyring: KeyRing, file: File) -> Secret:
    """
    Unwrap a file's key; raise `FileNotFound` if it was destroyed.
    """
    if file.key is None:
        raise FileNotFound
    return keyring.unwrap(file.key, purpose=FILE_KEY_PURPOSE, context=file.key_context)
