"""
Resumption of an upload: one request at a time becomes its writer.

Short parts are merged. A new part is encrypted together with those before it that are no larger than what has been
collected so far, as long as the result fits into one part; the result replaces them in the same commit. So a byte is
encrypted again at most as often as a part can double in size until it is full, and there are at most as many short
parts between two full ones: about twenty rows for each part's size, however small the pieces.
"""

from __future__ import annotations

from typing import Final

import attrs

from sft_core.errors import (
    FileNotFound,
    FileTooLarge,
    InvalidValue,
    OffsetMismatch,
    QuotaExceeded,
    UploadIsFinal,
    UploadLengthConflict,
)
from sft_core.ports import KeyRing, UnitOfWorkFactory
from sft_core.values import FileId, UserId
from sft_core.vault.model import FileState, UploadKind, VaultPolicy
from sft_core.vault.ports import VaultUnit
from sft_core.vault.use_cases.quota import reserve_quota
from sft_core.vault.use_cases.read import file_key
from sft_core.vault.use_cases.resumable import FindUpload, Progress
from sft_core.vault.use_cases.upload_session import MAX_TAIL_PARTS, UploadSession

RECORDED_TOGETHER: Final = 4
"""How many parts of one request are recorded in one commit, at most."""


@attrs.frozen(kw_only=True)
class AcquireUpload:
    """
    Become the writer of an upload that has `offset` bytes, excluding every earlier writer.

    The length, if it was deferred at creation, may be announced now. `incoming_bytes` are what the request announces.

    Raises, leaving the upload to its current writer:
        FileNotFound: the owner has no such upload, or it has expired.
        UploadIsFinal: the upload is a concatenation, to which nothing can be appended.
        OffsetMismatch: the upload has another offset.
        UploadLengthConflict: another length was announced before.
        InvalidValue: the length is less than the offset.
        FileTooLarge: the length or the incoming bytes exceed what the policy or the announced length allows.
        QuotaExceeded: the length or the incoming bytes do not fit into the owner's quota.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    find: FindUpload
    keyring: KeyRing
    policy: VaultPolicy
    part_size: int

    def __call__(
        self, *, owner: UserId, file_id: FileId, offset: int, length: int | None = None, incoming_bytes: int = 0
    ) -> UploadSession:
        with self.begin() as unit:
            file = unit.files.get(file_id)
            if file is None or file.owner != owner:
                raise FileNotFound
            # It changes nothing, and blocks every other writer and every abort until the unit has ended.
            unit.files.replace(file, expected=FileState.RECEIVING)
            token = unit.uploads.acquire(file_id)
            found = self.find.within(unit, owner=owner, file_id=file_id)
            if found.upload.kind is UploadKind.FINAL:
                raise UploadIsFinal
            if token is None or found.file.key is None:
                raise FileNotFound
            if found.offset != offset:
                raise OffsetMismatch(found.offset)
            if found.upload.length is None:
                # Releases what a writer reserved for bytes that never arrived, because it died.
                unit.quotas.reserve(file_id, offset, limit=self.policy.quota)
            expected = self._length(unit, found, length)
            self._check_incoming(unit, found, expected, incoming_bytes)
            tail = unit.manifests.tail(file_id, limit=MAX_TAIL_PARTS)
            unit.commit()
        return UploadSession(
            file=found.file,
            key=file_key(self.keyring, found.file),
            expected_size=expected,
            reserved_bytes=offset if expected is None else expected,
            fencing_token=token,
            merge_limit=self.part_size,
            # Each part of an open length reserves its quota, and is kept if it alone fits.
            batch_size=1 if expected is None else RECORDED_TOGETHER,
            offset=offset,
            recorded_parts=tail[-1].number + 1 if tail else 0,
            tail=tail,
        )

    def _length(self, unit: VaultUnit, found: Progress, length: int | None) -> int | None:
        if length is None or length == found.upload.length:
            return found.upload.length
        if found.upload.length is not None:
            raise UploadLengthConflict
        if length < found.offset:
            raise InvalidValue("Upload-Length", "must not be less than the current Upload-Offset")
        self.policy.check_size(length)
        unit.uploads.set_length(found.file.id, length)
        reserve_quota(unit, found.file, self.policy, need=length, reserved=found.offset)
        return length

    def _check_incoming(self, unit: VaultUnit, found: Progress, expected: int | None, incoming_bytes: int) -> None:
        size = found.offset + incoming_bytes
        if expected is not None:
            if size > expected:
                raise FileTooLarge(expected)
            return
        self.policy.check_size(size)
        # What a request announces reserves nothing yet; it is refused if it cannot fit.
        quota, used = self.policy.quota, unit.quotas.used(found.file.owner)
        if incoming_bytes and quota is not None and used + incoming_bytes > quota:
            raise QuotaExceeded(quota=quota, used=used - found.offset)
