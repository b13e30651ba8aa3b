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
from sft_core.vault.ports import Marked, VaultUnit


@attrs.frozen(kw_only=True)
class IdleSince:
    """
    The latest times of an upload's last byte at which the upload is idle.

    `resumable` applies to resumable uploads (`ResumableUploads`), `single` to every other upload, which
    ends with its request.
    """

    resumable: datetime
    single: datetime


class Leftovers(Protocol):
    """
    Files that can be reclaimed, and what decides whether a blob is an orphan, within one unit of work.

    Each listing is one page: the first `limit` ids, ascending, greater than `after`. It returns ids
    only, so that an unreadable row hides no other.
    """

    def condemned(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        """
        Return a page of the aborting and deleting files.
        """
        ...

    def idle(self, *, since: IdleSince, after: FileId | None, limit: int) -> Sequence[FileId]:
        """
        Return a page of the uploads whose last byte was received at or before the time for their kind.
        """
        ...

    def expired(self, *, by: datetime, after: FileId | None, limit: int) -> Sequence[FileId]:
        """
        Return a page of the sealed files that have expired at `by`.
        """
        ...

    def expire(self, file_id: FileId, *, by: datetime, now: datetime) -> bool:
        """
        Change such a file to deleting from `now` on and destroy its key, in one conditional update.

        False, changing nothing, if its expiry time was moved, or it is in another state or deleted.
        """
        ...

    def give_up(self, file_id: FileId, *, since: IdleSince, now: datetime) -> bool:
        """
        Change such an upload to aborting from `now` on and destroy its key, in one conditional update.

        False, changing nothing, if it received a byte since, or is in another state or deleted.
        """
        ...

    def recorded(self, blob_keys: Iterable[str]) -> frozenset[str]:
        """
        Return which of a few hundred blob keys at most a manifest contains, with or without a file row.
        """
        ...

    def places_of(self, headers: Collection[bytes]) -> Mapping[bytes, tuple[FileId, int]]:
        """
        Map each header that a manifest contains to the id of its file and the number of its part.

        Takes a few hundred headers at most. It may scan the rows of all parts.
        """
        ...

    def first_account(self) -> datetime | None:
        """
        Return the creation time of the oldest account; None if there is none.
        """
        ...


class SweepUnit(VaultUnit, Protocol):
    """
    A unit of work over files, what can be reclaimed, and the store identity.
    """

    @property
    def leftovers(self) -> Leftovers:
        """
        The reclaimable files in this unit of work.
        """
        ...

    @property
    def marked(self) -> Marked:
        """
        The database's own store id in this unit of work.
        """
        ...


class Inventory(Protocol):
    """
    Everything that is stored, in pages, within one unit of work.
    """

    def files(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        """
        Return the first `limit` ids of files in any state, ascending, greater than `after`.

        It returns ids only, so that an unreadable row hides no other.
        """
        ...

    def parts(self, file_id: FileId, *, after: int, limit: int) -> Sequence[Part]:
        """
        Return the first `limit` parts of a file, empty ones included, whose number is greater than `after`.

        They are in ascending order of their numbers.
        """
        ...

    def stray_parts(self, *, after: str, limit: int) -> Sequence[str]:
        """
        Return the first `limit` blob keys after `after`, sorted, of manifest entries without a file row.
        """
        ...

    def key_ids(self) -> Mapping[str, frozenset[str]]:
        """
        Return the ids of the keys that wrap secrets other than file keys, by what is wrapped.
        """
        ...


@attrs.frozen(kw_only=True)
class Drift:
    """
    An owner whose quota record is wrong: `counted` bytes are recorded, `due` bytes are correct.

    The two are equal if only the reservation of a single file is wrong.
    """

    owner: UserId
    counted: int
    due: int


class Ledger(Protocol):
    """
    An audit of quotas, within one unit of work.

    The rule: a sealed file reserves its size, any other file what it has reserved, and an owner's use
    is the sum of both.
    """

    def drifts(self) -> Sequence[Drift]:
        """
        Return every owner for which the rule does not hold.
        """
        ...

    def recount(self, owner: UserId) -> None:
        """
        Recompute an owner's reservations and use; concurrent reservations and releases are included.
        """
        ...


class RecordKind(enum.Enum):
    """
    The kind of a row that refers to another row, or contains a secret other than a file key.
    """

    FILE = "file"
    LINK = "link"
    UPLOAD = "upload"
    USAGE = "usage"
    USER = "user"


@attrs.frozen(kw_only=True)
class Record:
    """
    A row and the facts to check: an upload has the id of its file, a usage that of its owner.

    `lacks` contains those of "file" and "account" that the row refers to and that do not exist.
    `secret` is a link's wrapped token or a user's wrapped TOTP seed, bound to the row's id; None if the
    row has none.
    """

    kind: RecordKind
    id: UUID
    lacks: frozenset[str] = frozenset()
    secret: WrappedSecret | None = None


class Records(Protocol):
    """
    Rows of every kind, in pages, within one unit of work.
    """

    def page(self, kind: RecordKind, *, after: UUID | None, limit: int) -> Sequence[Record]:
        """
        Return the first `limit` rows of a kind by id, intact ones included, whose id is greater than `after`.
        """
        ...

    def get(self, kind: RecordKind, record_id: UUID) -> Record | None:
        """
        Return the row with this id, or None.
        """
        ...


class UpkeepUnit(SweepUnit, Protocol):
    """
    A unit of work over everything that the integrity check reads.
    """

    @property
    def inventory(self) -> Inventory:
        """
        Everything that is stored, in this unit of work.
        """
        ...

    @property
    def ledger(self) -> Ledger:
        """
        The audit of quotas in this unit of work.
        """
        ...

    @property
    def records(self) -> Records:
        """
        The rows in this unit of work.
        """
        ...
