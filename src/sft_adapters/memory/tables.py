"""
The tables of the database in memory, and their repositories.

Entities are immutable, so copying the tables means copying dictionaries.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import attrs

from sft_core.errors import AlreadyRegistered, Conflict, KeyRetired, UploadAborted
from sft_core.sharing.idempotency import IdempotencyRecord
from sft_core.sharing.model import ShareLink
from sft_core.users.model import User
from sft_core.values import ByteRange, EmailAddress, FileId, LinkId, Page, UserId, WrappedSecret
from sft_core.vault.model import DELETION_STATES, File, FileState, Part, ResumableUpload


@attrs.define
class Tables:
    """
    One consistent state of all tables.
    """

    users: dict[UserId, User] = attrs.field(factory=dict)
    files: dict[FileId, File] = attrs.field(factory=dict)
    parts: dict[FileId, tuple[Part, ...]] = attrs.field(factory=dict)
    uploads: dict[FileId, ResumableUpload] = attrs.field(factory=dict)
    links: dict[LinkId, ShareLink] = attrs.field(factory=dict)
    idempotency_records: dict[bytes, IdempotencyRecord] = attrs.field(factory=dict)
    reservations: dict[FileId, int] = attrs.field(factory=dict)
    usages: dict[UserId, int] = attrs.field(factory=dict)
    retired_keys: set[str] = attrs.field(factory=set)
    store_id: str | None = None

    def copy(self) -> Tables:
        """
        Return a copy that can be changed independently.
        """
        return Tables(*(copy.copy(getattr(self, field.name)) for field in attrs.fields(Tables)))

    def snapshot(self) -> Snapshot:
        """
        Return a read-only copy.
        """
        copies = attrs.asdict(self.copy(), recurse=False).items()
        rows = {name: MappingProxyType(table) for name, table in copies if isinstance(table, dict)}
        return Snapshot(**rows, retired_keys=frozenset(self.retired_keys), store_id=self.store_id)

    def release_quota(self, file: File) -> None:
        """
        Release a file's quota reservation; its owner's use does not fall below 0.
        """
        left = self.usages.get(file.owner, 0) - self.reservations.pop(file.id, 0)
        self.usages[file.owner] = max(left, 0)

    def require_usable_key(self, wrapped: WrappedSecret | None) -> None:
        """
        Raise `KeyRetired` if a secret to be stored was wrapped under a retired key.
        """
        if wrapped is not None and wrapped.key_id in self.retired_keys:
            raise KeyRetired


@attrs.frozen
class Snapshot:
    """
    The rows of every table at one moment, read-only; later commits do not change it.
    """

    users: Mapping[UserId, User]
    files: Mapping[FileId, File]
    parts: Mapping[FileId, tuple[Part, ...]]
    uploads: Mapping[FileId, ResumableUpload]
    links: Mapping[LinkId, ShareLink]
    idempotency_records: Mapping[bytes, IdempotencyRecord]
    reservations: Mapping[FileId, int]
    usages: Mapping[UserId, int]
    retired_keys: frozenset[str]
    store_id: str | None


@attrs.frozen
class Repository:
    """
    Tables of a unit of work; `write` raises an error if the unit is read-only.
    """

    read: Callable[[], Tables]
    write: Callable[[], Tables]


class Users(Repository):
    """
    Implements `sft_core.users.ports.UserRepository`.
    """

    def add(self, user: User) -> None:
        users = self.write().users
        for other in users.values():
            if other.email == user.email or other.username.key == user.username.key:
                raise AlreadyRegistered
        users[user.id] = user

    def get(self, user_id: UserId) -> User | None:
        return self.read().users.get(user_id)

    def find(self, email: EmailAddress) -> User | None:
        return next((user for user in self.read().users.values() if user.email == email), None)

    def save(self, user: User) -> User:
        users = self.write().users
        stored = users.get(user.id)
        if stored is None or stored.revision != user.revision:
            raise Conflict
        if user.totp is not None and (stored.totp is None or stored.totp.seed != user.totp.seed):
            self.write().require_usable_key(user.totp.seed)
        saved = attrs.evolve(user, revision=user.revision + 1)
        users[user.id] = saved
        return saved

    def record_sign_in(self, user_id: UserId, at: datetime, totp_step: int | None) -> bool:
        users = self.write().users
        user = users.get(user_id)
        if user is None or not user.is_active:
            return False
        totp = user.totp
        if totp_step is None:
            if user.two_factor_enabled:
                return False
        else:
            if totp is None or totp_step <= totp.last_step:
                return False
            totp = attrs.evolve(totp, last_step=totp_step)
        users[user_id] = attrs.evolve(user, last_login=at, totp=totp, revision=user.revision + 1)
        return True


class Files(Repository):
    """
    Implements `sft_core.vault.ports.FileRepository`.
    """

    def add(self, file: File) -> None:
        tables = self.write()
        tables.require_usable_key(file.key)
        if file.id in tables.files:
            raise Conflict
        tables.files[file.id] = file

    def get(self, file_id: FileId) -> File | None:
        return self.read().files.get(file_id)

    def list_sealed(self, owner: UserId, page: Page, *, now: datetime) -> Sequence[File]:
        own = (file for file in self.read().files.values() if file.owner == owner)
        files = (file for file in own if file.state is FileState.SEALED and not file.is_expired(now))
        newest_first = sorted(files, key=lambda file: (file.created_at, file.id), reverse=True)
        return newest_first[page.skip : page.skip + page.limit]

    def replace(self, file: File, *, expected: FileState) -> bool:
        files = self.write().files
        stored = files.get(file.id)
        if stored is None or stored.state is not expected:
            return False
        file = attrs.evolve(file, touched_at=max(file.touched_at, stored.touched_at))
        files[file.id] = file if file.key is None else attrs.evolve(file, key=stored.key)
        return True

    def remove(self, file_id: FileId) -> None:
        tables = self.write()
        file = tables.files.get(file_id)
        if file is None or file.state not in DELETION_STATES:
            return
        del tables.files[file_id]
        tables.parts.pop(file_id, None)
        tables.uploads.pop(file_id, None)
        tables.release_quota(file)
        tables.links = {link.id: link for link in tables.links.values() if link.file_id != file_id}


class Manifests(Repository):
    """
    Implements `sft_core.vault.ports.Manifests`.
    """

    def append(self, file_id: FileId, parts: Sequence[Part]) -> None:
        stored = self.write().parts
        known = stored.get(file_id, ())
        by_number = {part.number: part for part in (*known, *parts)}
        if len(by_number) < len(known) + len(parts):
            raise Conflict
        stored[file_id] = tuple(by_number[number] for number in sorted(by_number))

    def covering(self, file_id: FileId, span: ByteRange, *, limit: int) -> Sequence[Part]:
        parts = self.read().parts.get(file_id, ())
        return [part for part in parts if len(part.span.intersection(span))][:limit]

    def tail(self, file_id: FileId, *, limit: int) -> Sequence[Part]:
        return self.read().parts.get(file_id, ())[-limit:]

    def truncate(self, file_id: FileId, number: int) -> None:
        stored = self.write().parts
        stored[file_id] = tuple(part for part in stored.get(file_id, ()) if part.number < number)

    def totals(self, file_id: FileId) -> tuple[int, int]:
        parts = self.read().parts.get(file_id, ())
        return len(parts), sum(part.size for part in parts)


class ResumableUploads(Repository):
    """
    Implements `sft_core.vault.ports.ResumableUploads`.
    """

    def add(self, upload: ResumableUpload) -> None:
        uploads = self.write().uploads
        if upload.file_id in uploads:
            raise Conflict
        uploads[upload.file_id] = upload

    def get(self, file_id: FileId) -> ResumableUpload | None:
        return self.read().uploads.get(file_id)

    def acquire(self, file_id: FileId) -> int | None:
        uploads = self.write().uploads
        upload = uploads.get(file_id)
        if upload is None:
            return None
        uploads[file_id] = attrs.evolve(upload, fencing_token=upload.fencing_token + 1)
        return upload.fencing_token + 1

    def is_current(self, file_id: FileId, fencing_token: int) -> bool:
        upload = self.write().uploads.get(file_id)
        return upload is not None and upload.fencing_token == fencing_token

    def set_length(self, file_id: FileId, length: int) -> bool:
        uploads = self.write().uploads
        upload = uploads.get(file_id)
        if upload is None or upload.length is not None:
            return False
        uploads[file_id] = attrs.evolve(upload, length=length)
        return True


class Quotas(Repository):
    """
    Implements `sft_core.vault.ports.Quotas`.
    """

    def reserve(self, file_id: FileId, size: int, *, limit: int | None) -> bool:
        tables = self.write()
        file = tables.files.get(file_id)
        if file is None or file.state in DELETION_STATES:
            raise UploadAborted
        more = size - tables.reservations.get(file_id, 0)
        used = tables.usages.get(file.owner, 0) + more
        if more > 0 and limit is not None and used > limit:
            return False
        tables.reservations[file_id], tables.usages[file.owner] = size, max(used, 0)
        return True

    def release(self, file_id: FileId) -> None:
        tables = self.write()
        file = tables.files.get(file_id)
        if file is not None and file.state in DELETION_STATES:
            tables.release_quota(file)

    def used(self, owner: UserId) -> int:
        return self.read().usages.get(owner, 0)


class Links(Repository):
    """
    Implements `sft_core.sharing.ports.LinkRepository`.
    """

    def add(self, link: ShareLink) -> None:
        tables = self.write()
        tables.require_usable_key(link.token)
        tables.links[link.id] = link

    def find(self, token_digest: bytes) -> ShareLink | None:
        return next((link for link in self.read().links.values() if link.token_digest == token_digest), None)

    def of_files(self, file_ids: Iterable[FileId]) -> Sequence[ShareLink]:
        wanted = set(file_ids)
        links = (link for link in self.read().links.values() if link.file_id in wanted)
        return sorted(links, key=lambda link: (link.created_at, link.id), reverse=True)

    def consume_download(self, link_id: LinkId, *, now: datetime) -> bool:
        links = self.write().links
        link = links.get(link_id)
        if link is None or not link.is_live(now):
            return False
        if link.max_downloads is not None and link.downloads >= link.max_downloads:
            return False
        links[link_id] = attrs.evolve(link, downloads=link.downloads + 1)
        return True

    def revoke(self, link_id: LinkId, *, now: datetime) -> bool:
        links = self.write().links
        link = links.get(link_id)
        if link is None or link.revoked_at is not None:
            return False
        links[link_id] = attrs.evolve(link, revoked_at=now)
        return True


class IdempotencyRecords(Repository):
    """
    Implements `sft_core.sharing.ports.IdempotencyRecords`.
    """

    def add(self, record: IdempotencyRecord, *, now: datetime) -> bool:
        records = self.write().idempotency_records
        if self.find(record.key_digest, now=now) is not None:
            return False
        records[record.key_digest] = record
        return True

    def find(self, key_digest: bytes, *, now: datetime) -> IdempotencyRecord | None:
        record = self.read().idempotency_records.get(key_digest)
        return record if record is not None and now < record.expires_at else None
