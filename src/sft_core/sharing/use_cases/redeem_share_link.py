"""
Consume one download of a share link.
"""

from __future__ import annotations

import attrs

from sft_core.errors import DownloadLimitReached
from sft_core.ports import Clock, UnitOfWorkFactory
from sft_core.sharing.ports import SharingUnit
from sft_core.sharing.use_cases.find_shared_file import FindSharedFile
from sft_core.values import ShareToken
from sft_core.vault.model import File


@attrs.frozen(kw_only=True)
class RedeemShareLink:
    """
    Consume one download of a link and return its file.

    Raises what `FindSharedFile` raises. The budget is exact under any load: one conditional update decides, before the
    first byte.
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
