"""
Short helpers for resumable uploads, with parts of a few bytes.
"""

from __future__ import annotations

import attrs

from sft_adapters.memory.database import MemoryDatabase
from sft_core.application import Application
from sft_core.users.model import User
from sft_core.values import OCTET_STREAM, FileId, FileName
from sft_core.vault.model import Part, UploadKind
from sft_core.vault.use_cases import StorePart, UploadSession
from sft_core.vault.use_cases.resumable import Progress, UploadRequest
from support.app.use_cases import with_use_cases

PART = 16
NAME = FileName.parse("notes.txt")


def asked(length: int | None, kind: UploadKind = UploadKind.WHOLE, *sources: FileId) -> UploadRequest:
    return UploadRequest(name=NAME, media_type=OCTET_STREAM, kind=kind, length=length, sources=sources)


def in_small_parts(sft: Application) -> Application:
    """
    Return the application with parts of 16 bytes.
    """
    return with_use_cases(
        sft,
        acquire_upload=attrs.evolve(sft.vault.acquire_upload, part_size=PART),
        concatenate_uploads=attrs.evolve(sft.vault.concatenate_uploads, part_size=PART),
    )


def acquire(sft: Application, owner: User, upload: FileId, offset: int, length: int | None = None) -> UploadSession:
    return sft.vault.acquire_upload(owner=owner.id, file_id=upload, offset=offset, length=length)


def add(sft: Application, owner: User, upload: FileId, *chunks: bytes) -> UploadSession:
    """
    Append to an upload as one request does.
    """
    session = acquire(sft, owner, upload, found(sft, owner, upload).offset)
    for chunk in chunks:
        sft.vault.store_part(session, chunk)
    return session


def store_provisionally(store: StorePart, session: UploadSession, chunk: bytes) -> None:
    """
    Store bytes that are later recorded or discarded, as a request with a checksum does.
    """
    session.is_provisional = True
    store(session, chunk)


def record(store: StorePart, session: UploadSession) -> None:
    """
    Record the pending bytes, and delete superseded blobs.
    """
    try:
        store.record(session)
    finally:
        store.delete_orphans(session)


def discard(store: StorePart, session: UploadSession) -> None:
    """
    Discard the pending bytes, and delete their blobs.
    """
    store.discard(session)
    store.delete_orphans(session)


def found(sft: Application, owner: User, upload: FileId) -> Progress:
    return sft.vault.find_upload(owner=owner.id, file_id=upload)


def complete_upload(
    sft: Application, owner: User, content: bytes = b"", *, kind: UploadKind = UploadKind.WHOLE
) -> FileId:
    """
    Create an upload that has all its bytes but is not sealed.
    """
    upload = sft.vault.create_upload(owner=owner.id, request=asked(len(content), kind)).file.id
    add(sft, owner, upload, *(content[start : start + PART] for start in range(0, len(content), PART)))
    return upload


def manifest(append: StorePart, upload: FileId) -> list[Part]:
    with append.begin(read_only=True) as unit:
        return list(unit.manifests.tail(upload, limit=10_000))


def keys(sft: Application) -> set[str]:
    """
    Return the keys of all stored blobs.
    """
    return {blob.key for blob in sft.vault.store_part.blobs.list()}


def recorded(sft: Application) -> set[str]:
    """
    Return the keys of all blobs that a manifest lists.
    """
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    return {part.blob_key for parts in begin.snapshot().parts.values() for part in parts}


def used(sft: Application, owner: User) -> int:
    with sft.vault.find_file.begin(read_only=True) as unit:
        return unit.quotas.used(owner.id)


def read(sft: Application, owner: User, file: FileId) -> bytes:
    return b"".join(map(bytes, sft.vault.read_file(sft.vault.find_file(owner=owner.id, file_id=file))))
