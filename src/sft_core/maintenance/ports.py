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
    Cut-off times: an upload whose last byte is not later is idle.

    `resumable` applies to resumable uploads (`ResumableUploads`), `single` to every other upload, which
    ends with its request.
    """

    resumable: datetime
    single: datetime


class Leftovers(Protocol):
    """
    Reclaimable files, and the data that identify orphans, within one unit of work.

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
        Return a page of the idle uploads, by the cut-off time of their kind.
        """
        ...

    def expired(self, *, by: datetime, after: FileId | None, limit: int) -> Sequence[FileId]:
        """
        Return a page of the sealed files that have expired at `by`.
        """
        ...

    def expire(self, file_id: FileId, *, by: datetime, now: datetime) -> bool:
        """
        Start deleting an expired file: change its state, destroy its key.

        It is one conditional update; the file is deleting from `now` on. False, changing nothing, if
        its expiry time was moved, or it is in another state or deleted.
        """
        ...

    def give_up(self, file_id: FileId, *, since: IdleSince, now: datetime) -> bool:
        """
        Abort an idle upload: change its state, destroy its key.

        It is one conditional update; the upload is aborting from `now` on. False, changing nothing, if
        it received a byte since, or is in another state or deleted.
        """
        ...

    def recorded(self, blob_keys: Iterable[str]) -> frozenset[str]:
        """
        Return those of the blob keys that a manifest contains, even without a file row.

        Takes a few hundred keys at most.
        """
        ...

    def places_of(self, headers: Collection[bytes]) -> Mapping[bytes, tuple[FileId, int]]:
        """
        Map each header found in a manifest to its file id and part number.

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
        Return the first `limit` parts of a file whose number is greater than `after`.

        They are in ascending order of their numbers, and include empty parts.
        """
        ...

    def stray_parts(self, *, after: str, limit: int) -> Sequence[str]:
        """
        Return the first `limit` blob keys of manifest entries without a file row.

        They are sorted, and greater than `after`.
        """
        ...

    def key_ids(self) -> Mapping[str, frozenset[str]]:
        """
        Return the ids of the keys in use by kind of secret, without file keys.
        """
        ...


@attrs.frozen(kw_only=True)
class Drift:
    """
    An owner whose quota record is wrong: `recorded` bytes in place of `actual` ones.

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
    The kind of a row with references or a secret other than file keys.
    """

    FILE = "file"
    LINK = "link"
    UPLOAD = "upload"
    USAGE = "usage"
    USER = "user"


@attrs.frozen(kw_only=True)
class Record:
    """
    A row with its dangling references and its secret.

    An upload has the id of its file, a usage that of its owner. `lacks` contains those of "file" and
    "account" that the row refers to and that do not exist. `secret` is a link's wrapped token or a
    user's wrapped TOTP seed, bound to the row's id; None if the row has none.
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
        Return the first `limit` rows of a kind with an id greater than `after`.

        They are in ascending order of their ids, and include intact rows.
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
