"""
Ports of sharing. Each docstring is a contract.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from sft_core.sharing.idempotency import IdempotencyRecord
from sft_core.sharing.model import ShareLink
from sft_core.values import FileId, LinkId
from sft_core.vault.ports import VaultUnit


class LinkRepository(Protocol):
    """
    Share-link rows, within one unit of work; deleting a file deletes its links.
    """

    def add(self, link: ShareLink) -> None:
        """
        Store a new link; raise `KeyRetired` if its token was wrapped under a retired key.
        """

    def find(self, token_digest: bytes) -> ShareLink | None:
        """
        Return the link whose token has this SHA-256 digest, or None.
        """

    def of_files(self, file_ids: Iterable[FileId]) -> Sequence[ShareLink]:
        """
        Return every link of these files, newest first (by creation, then by id).
        """

    def consume_download(self, link_id: LinkId, *, now: datetime) -> bool:
        """
        Consume one download of a link, in one conditional update.

        Of any number of concurrent callers exactly as many get True as the budget allows. False, changing nothing, if
        the link is revoked, expired, spent or deleted.
        """

    def revoke(self, link_id: LinkId, *, now: datetime) -> bool:
        """
        Revoke the link permanently; False, changing nothing, if it is revoked or deleted.
        """


class IdempotencyRecords(Protocol):
    """
    The idempotency records, within one unit of work.

    A record expires at its `expires_at`, compared with `now`; an expired one counts as missing. It outlives its file.
    """

    def add(self, record: IdempotencyRecord, *, now: datetime) -> bool:
        """
        Store a record under its key, in one conditional insert.

        False, changing nothing, if an unexpired record has the key; an expired one is replaced. Of any number of
        concurrent units with one key exactly one commits the record: another call waits until that unit ends, and gets
        False if it committed.
        """

    def find(self, key_digest: bytes, *, now: datetime) -> IdempotencyRecord | None: ...


class SharingUnit(VaultUnit, Protocol):
    """
    A unit of work over share links, their files, and idempotency records.
    """

    @property
    def links(self) -> LinkRepository: ...

    @property
    def idempotency_records(self) -> IdempotencyRecords: ...
