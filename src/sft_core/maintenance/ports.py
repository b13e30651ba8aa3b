"""
Ports of maintenance, beyond those of the vault. Each docstring is a contract.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import attrs

from sft_core.values import FileId, UserId, WrappedSecret
from sft_core.vault.model import Part
from sft_core.vault.ports import StoreIdentity, VaultUnit


@attrs.frozen(kw_only=True)
class IdleCutoffs:
    """
    Cut-off times: an upload whose last byte is not later is idle.

    `resumable` applies to resumable uploads, `non_resumable` to every other, which ends with its request.
    """

    resumable: datetime
    non_resumable: datetime


class ReclaimableFiles(Protocol):
    """
    Reclaimable files, and the data that identify orphans, within one unit of work.

    Each listing is one page: the first `limit` ids, ascending, greater than `after`. It returns ids only, so that an
    unreadable row hides no other.
    """

    def in_deletion(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        """
        Return a page of the aborting and deleting files.
        """

    def idle(self, *, since: IdleCutoffs, after: FileId | None, limit: int) -> Sequence[FileId]:
        """
        Return a page of the idle uploads, by the cut-off time of their kind.
        """

    def expired(self, *, by: datetime, after: FileId | None, limit: int) -> Sequence[FileId]:
        """
        Return a page of the sealed files that have expired at `by`.
        """

    def expire(self, file_id: FileId, *, by: datetime, now: datetime) -> bool:
        """
        Start deleting an expired file as of `now`, in one conditional update.

        Destroys its key. False, changing nothing, if its expiry time was moved, or it is in another state or deleted.
        """

    def abort_idle(self, file_id: FileId, *, since: IdleCutoffs, now: datetime) -> bool:
        """
        Abort an idle upload as of `now`, in one conditional update.

        Destroys its key. False, changing nothing, if it received a byte since, or is in another state or deleted.
        """

    def referenced_keys(self, blob_keys: Iterable[str]) -> frozenset[str]:
        """
        Return those of the blob keys that a manifest contains, even without a file row.

        Takes a few hundred keys at most.
        """

    def parts_by_header(self, headers: Collection[bytes]) -> Mapping[bytes, tuple[FileId, int]]:
        """
        Map each header that a manifest contains to its file id and part number.

        Takes a few hundred headers at most. It may scan the rows of all parts.
        """

    def oldest_account_created_at(self) -> datetime | None: ...


class Inventory(Protocol):
    """
    Everything that is stored, in pages, within one unit of work.
    """

    def files(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        """
        Return a page of the files in any state, as `ReclaimableFiles` does.
        """

    def parts(self, file_id: FileId, *, after: int, limit: int) -> Sequence[Part]:
        """
        Return the first `limit` parts with numbers above `after`, ascending, empty ones included.
        """

    def dangling_part_keys(self, *, after: str, limit: int) -> Sequence[str]:
        """
        Return the first `limit` sorted blob keys above `after` whose manifest entries have no file.
        """

    def key_ids(self) -> Mapping[str, frozenset[str]]:
        """
        Return the ids of the keys in use by kind of secret, without file keys.
        """


@attrs.frozen(kw_only=True)
class QuotaDrift:
    """
    An owner whose quota counts `recorded` bytes in place of `actual` ones.

    The two are equal if only the reservation of a single file is wrong.
    """

    owner: UserId
    recorded: int
    actual: int


class QuotaAudit(Protocol):
    """
    An audit of quotas, within one unit of work.

    The rule: a sealed file reserves its size, any other file what it has reserved, and an owner's use is the sum;
    `drifts` are the owners for which it does not hold.
    """

    def drifts(self) -> Sequence[QuotaDrift]: ...

    def recount(self, owner: UserId) -> None:
        """
        Recompute an owner's reservations and use; concurrent reservations and releases are included.
        """


class RowKind(enum.Enum):
    """
    The kind of a row with references or a secret other than file keys.
    """

    FILE = "file"
    LINK = "link"
    UPLOAD = "upload"
    USAGE = "usage"
    USER = "user"


@attrs.frozen(kw_only=True)
class IntegrityRow:
    """
    A row with its dangling references and its secret.

    An upload has the id of its file, a usage that of its owner. `missing` contains those of "file" and "account" that
    the row refers to and that do not exist. `secret` is a link's wrapped token or a user's wrapped TOTP seed, bound to
    the row's id.
    """

    kind: RowKind
    id: UUID
    missing: frozenset[str] = frozenset()
    secret: WrappedSecret | None = None


class IntegrityRows(Protocol):
    """
    Rows of every kind, in pages, within one unit of work.
    """

    def page(self, kind: RowKind, *, after: UUID | None, limit: int) -> Sequence[IntegrityRow]:
        """
        Return the first `limit` rows with ids above `after`, ascending, intact ones included.
        """

    def get(self, kind: RowKind, row_id: UUID) -> IntegrityRow | None: ...


class MaintenanceUnit(VaultUnit, Protocol):
    """
    A unit of work over everything that the sweep and the integrity check read.
    """

    @property
    def reclaimable(self) -> ReclaimableFiles: ...

    @property
    def store_identity(self) -> StoreIdentity: ...

    @property
    def inventory(self) -> Inventory: ...

    @property
    def quota_audit(self) -> QuotaAudit: ...

    @property
    def integrity_rows(self) -> IntegrityRows: ...
