"""
Find the file of a share link.
"""

from __future__ import annotations

from datetime import datetime

import attrs

from sft_core.errors import LinkExpired, LinkNotFound
from sft_core.ports import Clock, UnitOfWorkFactory
from sft_core.sharing.model import ShareLink, digest
from sft_core.sharing.ports import SharingUnit
from sft_core.values import ShareToken
from sft_core.vault.model import File, FileState


@attrs.frozen(kw_only=True)
class FindSharedFile:
    """
    Return a token's link and file, consuming no download: for HEAD, previews, conditional requests.

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
