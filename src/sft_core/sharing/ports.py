"""
What the sharing use cases need from outside. The docstring is the contract.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from sft_core.sharing.idempotency import KeptAnswer
from sft_core.sharing.model import ShareLink
from sft_core.values import FileId, LinkId
from sft_core.vault.ports import VaultUnit


class LinkRepository(Protocol):
    """
    The share links, seen from inside one unit of work. A removed file's links are gone with it.
    """

    def add(self, link: ShareLink) -> None:
        """
        Store a new link.
        """
        ...

    def find(self, token_digest: bytes) -> ShareLink | None:
        """
        The link whose token has this SHA-256 digest, or None.
        """
        ...

    def of_files(self, file_ids: Iterable[FileId]) -> Sequence[ShareLink]:
        """
        Every link of these files, newest first (by creation, then by id).
        """
        ...

    def claim(self, link_id: LinkId, *, now: datetime) -> bool:
        """
        Spend one download, in one conditional update.

        Of any number of callers, exactly as many as the budget allows get True. False, changing
        nothing, if the link is revoked, over, spent or gone.
        """
        ...

    def revoke(self, link_id: LinkId, *, now: datetime) -> bool:
        """
        End the link for good; False, changing nothing, if it was revoked before or is gone.
        """
        ...


class KeptAnswers(Protocol):
    """
    What requests under idempotency keys have made, seen from inside one unit of work.

    An answer that is over at `now` counts as none. It outlives the file it tells of.
    """

    def keep(self, answer: KeptAnswer, *, now: datetime) -> bool:
        """
        Keep an answer under its key, in one conditional insert.

        Of any number of callers with one key exactly one gets True, once it has committed. False,
        changing nothing, if one is kept under it that is not over; one that is over is replaced.
        """
        ...

    def find(self, key_digest: bytes, *, now: datetime) -> KeptAnswer | None:
        """
        The answer that is kept under a key, or None.
        """
        ...


class SharingUnit(VaultUnit, Protocol):
    """
    A unit of work over links and the files they lead to.
    """

    @property
    def links(self) -> LinkRepository:
        """
        The links as this unit sees them.
        """
        ...

    @property
    def answers(self) -> KeptAnswers:
        """
        The kept answers as this unit sees them.
        """
        ...
