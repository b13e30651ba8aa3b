"""
Begin an upload: a file key, an intent row, and a reservation of quota.
"""

from __future__ import annotations

import attrs

from sft_core.errors import DatabaseUnavailable, QuotaExceeded
from sft_core.key_retirement import retry_if_key_retired
from sft_core.ports import Clock, Entropy, IdGenerator, KeyRing, UnitOfWorkFactory
from sft_core.values import OCTET_STREAM, FileId, FileName, MediaType, Secret, UserId
from sft_core.vault.model import FILE_KEY_BYTES, File, ResumableUpload, ShareTerms, VaultPolicy
from sft_core.vault.ports import CapacityCheck, VaultUnit
from sft_core.vault.use_cases.quota import capacity_error, reserve_quota
from sft_core.vault.use_cases.upload_session import UploadSession


@attrs.frozen(kw_only=True)
class BeginUpload:
    """
    Generate a file key, store an intent row, and reserve the announced size.

    The announced size may exceed the file's by up to `overhead` bytes, which a form has around it.

    Most files are small. For one that is announced to fit into `part_size` nothing is stored yet: its row comes with
    the commit that seals it, which then reserves its quota. The same holds for a file of unannounced size if the caller
    `reports_final_size`: that is, it sets `UploadSession.expected_size` once the last byte has arrived and before the
    last part is stored. With an `overhead`, too, the size is unknown until then.

    Raises, storing nothing:
        FileTypeNotAllowed: the policy does not allow the name's extension.
        FileTooLarge: the file has more bytes than the policy allows.
        QuotaExceeded: the file does not fit into the owner's quota.
        BlobStoreFull: the file does not fit into the store.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    ids: IdGenerator
    clock: Clock
    entropy: Entropy
    keyring: KeyRing
    policy: VaultPolicy
    capacity: CapacityCheck
    part_size: int

    def __call__(
        self,
        *,
        owner: UserId,
        name: FileName,
        media_type: MediaType = OCTET_STREAM,
        announced_size: int | None = None,
        overhead: int = 0,
        reports_final_size: bool = False,
    ) -> UploadSession:
        announced = announced_size or 0
        least = max(0, announced - overhead)
        self.policy.check_name(name)
        self.policy.check_size(least)
        session = self.new_session(owner, name, media_type)
        session.expected_size = None if overhead else announced_size
        may_be_small = reports_final_size if announced_size is None else announced <= self.part_size
        if may_be_small:
            self._check_quota(owner, least)
        else:
            persist_intent(
                self.begin, session, self.keyring, self.policy, need=least, ahead=announced, capacity=self.capacity
            )
        return session

    def new_session(
        self, owner: UserId, name: FileName, media_type: MediaType, terms: ShareTerms | None = None
    ) -> UploadSession:
        file = File(
            id=FileId(self.ids.new()),
            owner=owner,
            name=name,
            original_name=name,
            media_type=media_type,
            created_at=self.clock.now(),
            terms=terms or ShareTerms(),
        )
        return UploadSession(file=file, key=Secret(self.entropy.random_bytes(FILE_KEY_BYTES)), is_persisted=False)

    def _check_quota(self, owner: UserId, size: int) -> None:
        """
        Raise `QuotaExceeded` before bytes arrive that would not fit; the commit decides.
        """
        quota = self.policy.quota
        if quota is None:
            return
        with self.begin(read_only=True) as unit:
            used = unit.quotas.used(owner)
        if used + size > quota:
            raise QuotaExceeded(quota=quota, used=used)


def persist_intent(
    begin: UnitOfWorkFactory[VaultUnit],
    session: UploadSession,
    keyring: KeyRing,
    policy: VaultPolicy,
    *,
    need: int,
    ahead: int = 0,
    capacity: CapacityCheck | None = None,
    resumable: ResumableUpload | None = None,
) -> None:
    """
    Store a file's intent row and its quota reservation (`reserve_quota`) in one commit.

    If a `capacity` is given, it has to admit `need` bytes. A `resumable` upload is stored beside the file.
    """
    refusal = None if capacity is None else capacity_error(capacity, need)

    def stored() -> tuple[File, int]:
        file = session.with_key(keyring)
        with begin() as unit:
            unit.files.add(file)
            if resumable is not None:
                unit.uploads.add(resumable)
            reserved = reserve_quota(unit, file, policy, need=need, ahead=ahead)
            if refusal is not None:
                raise refusal
            unit.commit()
        return file, reserved

    try:
        session.file, session.reserved_bytes = retry_if_key_retired(stored)
    except DatabaseUnavailable:
        # The row may exist, so an abort has to look for it; unless there are parts to delete without one.
        session.is_persisted = not session.parts
        raise
    session.is_persisted = True
