"""
Share links: find the file, consume a download, revoke, summarise.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs

from sft_core.errors import DownloadLimitReached, LinkExpired, LinkNotFound
from sft_core.ports import Clock, KeyRing, UnitOfWorkFactory
from sft_core.sharing.model import LinkSummary, ShareLink, digest, reveal
from sft_core.sharing.ports import SharingUnit
from sft_core.values import FileId, ShareToken, UserId
from sft_core.vault.model import File, FileState


@attrs.frozen(kw_only=True)
class FindSharedFile:
    """
    The link of a token and its file, consuming no download: for HEAD, previews and conditional requests.

    Raises:
        LinkNotFound: there is no such link, or its file was deleted.
        LinkRevoked: the owner has revoked it.
        LinkExpired: the link or its file has expired.
        DownloadLimitReached: every download was consumed.
    """

    begin: UnitOfWorkFactory[SharingUnit]
    clock: Clock

    def __call__(self, *, token: ShareToken) -> tuple[ShareLink, File]:
        with self.begin(read_only=True) as unit:
            link, file = self.within(unit, token)
        self.require_live(link, file, self.clock.now())
        link.require_budget()
        return link, file

    @staticmethod
    def require_live(link: ShareLink, file: File, now: datetime) -> None:
        link.require_live(now)
        if file.is_expired(now):
            raise LinkExpired

    def within(self, unit: SharingUnit, token: ShareToken) -> tuple[ShareLink, File]:
        """
        Find both within an open unit of work, whatever the link's state.
        """
        link = unit.links.find(digest(token))
        file = unit.files.get(link.file_id) if link is not None else None
        if link is None or file is None or file.state is not FileState.SEALED:
            raise LinkNotFound
        return link, file


@attrs.frozen(kw_only=True)
class RedeemShareLink:
    """
    Consume one download of a link and return the file that it grants; raises what `FindSharedFile` raises.

    The budget is exact under any load: one conditional update decides, before the first byte.
    """

    begin: UnitOfWorkFactory[SharingUnit]
    clock: Clock
    find: FindSharedFile

    def __call__(self, *, token: ShareToken) -> File:
        with self.begin() as unit:
            now = self.clock.now()
            link, file = self.find.within(unit, token)
            if file.is_expired(now) or not unit.links.consume_download(link.id, now=now):
                # Read again for the reason: it may have arisen between the look and the update.
                self.find.require_live(*self.find.within(unit, token), now)
                raise DownloadLimitReached
            unit.commit()
        return file


@attrs.frozen(kw_only=True)
class RevokeShareLink:
    """
    Revoke one of the owner's links, again without error, or raise `LinkNotFound`.
    """

    begin: UnitOfWorkFactory[SharingUnit]
    clock: Clock
    find: FindSharedFile

    def __call__(self, *, owner: UserId, token: ShareToken) -> None:
        with self.begin() as unit:
            link, _ = self.find.within(unit, token)
            if link.owner != owner:
                raise LinkNotFound
            unit.links.revoke(link.id, now=self.clock.now())
            unit.commit()


@attrs.frozen(kw_only=True)
class SummariseLinks:
    """
    Summarise the links of an owner's files, one summary for each file.
    """

    begin: UnitOfWorkFactory[SharingUnit]
    clock: Clock
    keyring: KeyRing

    def __call__(self, files: Sequence[File]) -> dict[FileId, LinkSummary]:
        with self.begin(read_only=True) as unit:
            links = unit.links.of_files([file.id for file in files])
        by_file: dict[FileId, list[ShareLink]] = {file.id: [] for file in files}
        for link in links:
            by_file[link.file_id].append(link)
        return {file_id: self._summary(links) for file_id, links in by_file.items()}

    def _summary(self, links: Sequence[ShareLink]) -> LinkSummary:
        now = self.clock.now()
        current = next((link for link in links if link.is_live(now)), None)
        return LinkSummary(
            current=current,
            token=reveal(self.keyring, current) if current is not None else None,
            downloads=sum(link.downloads for link in links),
        )
