"""
The rule that turns an upload into a file, within a caller's unit of work.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from sft_core.errors import UploadAborted, UploadIncomplete
from sft_core.ports import KeyRing
from sft_core.vault.model import File, FileState, ShareTerms, VaultPolicy
from sft_core.vault.ports import VaultUnit
from sft_core.vault.use_cases.quota import reserve_quota
from sft_core.vault.use_cases.upload_session import UploadSession


@attrs.frozen(kw_only=True)
class SealWithinUnit:
    """
    Turn an upload whose parts are all durable into a file, in the caller's unit.

    Its exact size is reserved. An upload without an intent row gets its row and its whole manifest here, too. A file
    without a byte needs its empty part before (`StorePart.complete`).

    Raises, before anything is committed:
        UploadAborted: the upload was aborted, sealed or deleted meanwhile.
        UploadIncomplete: the manifest does not hold every part, or a commit's outcome is unknown.
        QuotaExceeded: a small file does not fit into the owner's quota.
        KeyRetired: as described at `retry_if_key_retired`.
    """

    keyring: KeyRing
    policy: VaultPolicy

    def __call__(self, unit: VaultUnit, session: UploadSession, *, terms: ShareTerms) -> File:
        if session.is_in_doubt:
            raise UploadIncomplete
        if session.is_persisted:
            sealed = session.file.sealed(size=session.received, terms=terms)
            # The state first: a caller that has lost the race for it has no manifest to append to.
            if not unit.files.replace(sealed, expected=FileState.RECEIVING):
                raise UploadAborted
        else:
            # No other process can find an upload without a row, so there is no race.
            sealed = session.with_key(self.keyring).sealed(size=session.received, terms=terms)
            unit.files.add(sealed)
        unit.manifests.append(sealed.id, session.pending)
        if session.is_persisted and unit.manifests.totals(sealed.id) != (session.parts, session.received):
            raise UploadIncomplete
        reserve_quota(unit, session.file, self.policy, need=sealed.size, reserved=session.reserved_bytes)
        return sealed


class SealedUpload(Protocol):
    """
    The result of sealing an upload.
    """

    @property
    def file(self) -> File: ...


class Seal(Protocol):
    """
    Seal an upload as `SealWithinUnit` does, in one commit, with its link if `public`.
    """

    def __call__(self, upload: UploadSession, *, terms: ShareTerms, public: bool = False) -> SealedUpload: ...
