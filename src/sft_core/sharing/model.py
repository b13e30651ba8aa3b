"""
A share link: who holds its token may fetch one file, for a time and a number of times.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from sft_core.errors import DownloadLimitReached, LinkExpired, LinkRevoked
from sft_core.values import FileId, LinkId, ShareToken, UserId, WrappedSecret

LINK_TOKEN_PURPOSE: Final = "share-token"  # noqa: S105 (names a purpose, holds no secret)
DEFAULT_EXPIRES_HOURS: Final = 24


@attrs.frozen(kw_only=True)
class ShareLink:
    """
    One link to one file. The token itself is kept wrapped, and found again by its digest.

    `token` is None once the link has been over for so long that nobody needs to see it any more:
    what is left tells how often it was used and why it does not open.
    """

    id: LinkId
    file_id: FileId
    owner: UserId
    token_digest: bytes = attrs.field(repr=False)
    token: WrappedSecret | None = attrs.field(repr=False)
    created_at: datetime
    expires_at: datetime
    max_downloads: int | None = None
    downloads: int = 0
    revoked_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """
        Whether the link is neither revoked nor expired; its budget may be spent all the same.
        """
        return self.revoked_at is None and now < self.expires_at

    def ended_before(self, moment: datetime) -> bool:
        """
        Whether the link expired or was revoked before a moment.
        """
        return self.expires_at < moment or (self.revoked_at is not None and self.revoked_at < moment)

    def require_live(self, now: datetime) -> None:
        """
        Raise `LinkRevoked` or `LinkExpired` unless the link is live.
        """
        if self.revoked_at is not None:
            raise LinkRevoked
        if now >= self.expires_at:
            raise LinkExpired

    def require_budget(self) -> None:
        """
        Raise `DownloadLimitReached` if every download has been spent.
        """
        if self.max_downloads is not None and self.downloads >= self.max_downloads:
            raise DownloadLimitReached


@attrs.frozen(kw_only=True)
class LinkSummary:
    """
    What an owner sees of a file's links: the newest live one with its token, and all downloads.

    The token is missing where it has been destroyed, and a clock that was set back makes the link live again.
    """

    current: ShareLink | None = None
    token: ShareToken | None = None
    downloads: int = 0
