"""
Revoke a share link.
"""

from __future__ import annotations

import attrs

from sft_core.errors import LinkNotFound
from sft_core.ports import Clock, UnitOfWorkFactory
from sft_core.sharing.ports import SharingUnit
from sft_core.sharing.use_cases.find_shared_file import FindSharedFile
from sft_core.values import ShareToken, UserId


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
