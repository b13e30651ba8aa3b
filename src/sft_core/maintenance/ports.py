"""
What keeping a vault healthy needs from outside, beyond what its users need. The docstring is the contract.
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
    Since when nothing has to have come of an upload for it to be idle.

    `resumable` is for one that somebody may go on with (`ResumableUploads`); `single` for any
    other, which ends with the request that brings it.
    """

    resumable: datetime
    single: datetime


class Leftovers(Protocol):
    """
    What has come to its end and is still there, seen from inside one unit of work.

    Each look is a page: the first `limit` of them by id, of those that come after the id `after`.
    It tells ids only: a row that cannot be read hides none of the others.
    """

    def condemned(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        """
        Aborting and deleting files.
        """
        ...

    def idle(self, *, since: IdleSince, after: FileId | None, limit: int) -> Sequence[FileId]:
        """
        Files that are being received and got their last byte at or before the moment for their kind.
        """
        ...

    def expired(self, *, by: datetime, after: FileId | None, limit: int) -> Sequence[FileId]:
        """
        Sealed files whose own end has come by then.
        """
        ...

    def expire(self, file_id: FileId, *, by: datetime, now: datetime) -> bool:
        """
        Make such a file deleting, from `now` on, and destroy its key, in one conditional update.

        False, changing nothing, if its end has been moved since, or it is in another state or gone.
        """
        ...

    def give_up(self, file_id: FileId, *, since: IdleSince, now: datetime) -> bool:
        """
        Make such a file aborting, from `now` on, and destroy its key, in one conditional update.

        False, changing nothing, if it has got a byte since, is in another state or gone.
        """
        ...

    def recorded(self, blob_keys: Iterable[str]) -> frozenset[str]:
        """
        Those of at most some hundred blob keys that stand in a manifest, whether it has a file or not.
        """
        ...

    def places_of(self, headers: Collection[bytes]) -> Mapping[bytes, tuple[FileId, int]]:
        """
        Which part of which file has a header by a manifest, of at most some hundred headers; it may look at every part.
        """
        ...

    def first_account(self) -> datetime | None:
        """
        When the oldest account was made; None if there is none.
        """
        ...


class SweepUnit(VaultUnit, Protocol):
    """
    A unit of work over files and what is left of those that are over.
    """

    @property
    def leftovers(self) -> Leftovers:
        """
        The leftovers as this unit sees them.
        """
        ...

    @property
    def marked(self) -> Marked:
        """
        The database's own mark as this unit sees it.
        """
        ...


class Inventory(Protocol):
    """
    Everything that is stored, to be looked through, seen from inside one unit of work.
    """

    def files(self, *, after: FileId | None, limit: int) -> Sequence[FileId]:
        """
        The first `limit` files by id, in whatever state, of those that come after the id `after`.

        It tells ids only: a row that cannot be read hides none of the others.
        """
        ...

    def parts(self, file_id: FileId, *, after: int, limit: int) -> Sequence[Part]:
        """
        The first `limit` parts of a file by number, empty ones too, of those with a number over `after`.
        """
        ...

    def stray_parts(self, *, after: str, limit: int) -> Sequence[str]:
        """
        The first `limit` blob keys, sorted, of manifest lines whose file is not there, of those after `after`.
        """
        ...

    def key_ids(self) -> Mapping[str, frozenset[str]]:
        """
        The ids of the keys that wrapped what is stored beside the files' keys, by what they wrapped.
        """
        ...


@attrs.frozen(kw_only=True)
class Drift:
    """
    An owner whose use of the quota is `counted`, or whose files hold, other than they should: `due` bytes.
    """

    owner: UserId
    counted: int
    due: int


class Ledger(Protocol):
    """
    The sums behind quotas, to be checked, seen from inside one unit of work.

    A sealed file is to hold its size, any other what it holds; an owner is to use the sum of these.
    """

    def drifts(self) -> Sequence[Drift]:
        """
        Every owner of whom that is not so.
        """
        ...

    def recount(self, owner: UserId) -> None:
        """
        Make it so for an owner; whoever holds or gives back for the owner meanwhile is counted too.
        """
        ...


class RecordKind(enum.Enum):
    """
    What a row is that belongs to something, or keeps a secret that is no file's key.
    """

    FILE = "file"
    LINK = "link"
    UPLOAD = "upload"
    USAGE = "usage"
    USER = "user"


@attrs.frozen(kw_only=True)
class Record:
    """
    A row, and what is to be held against the rest: an upload has the id of its file, a usage that of its owner.

    `lacks` holds what the row names and is not there, of "file" and "account". `secret` is a link's
    wrapped token or a user's seed, bound to the row's id; None for any other, and where there is none.
    """

    kind: RecordKind
    id: UUID
    lacks: frozenset[str] = frozenset()
    secret: WrappedSecret | None = None


class Records(Protocol):
    """
    Rows of every kind, to be looked through, seen from inside one unit of work.
    """

    def page(self, kind: RecordKind, *, after: UUID | None, limit: int) -> Sequence[Record]:
        """
        The first `limit` rows of a kind by id, sound ones too, of those that come after the id `after`.
        """
        ...

    def get(self, kind: RecordKind, record_id: UUID) -> Record | None:
        """
        The one with this id, or None.
        """
        ...


class UpkeepUnit(SweepUnit, Protocol):
    """
    A unit of work over everything that a full check looks at.
    """

    @property
    def inventory(self) -> Inventory:
        """
        What is stored, as this unit sees it.
        """
        ...

    @property
    def ledger(self) -> Ledger:
        """
        The sums, as this unit sees them.
        """
        ...

    @property
    def records(self) -> Records:
        """
        The rows, as this unit sees them.
        """
        ...
