"""
Share links: a link token grants a limited number of downloads of one file.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

import attrs

from sft_core.errors import DownloadLimitReached, LinkExpired, LinkRevoked
from sft_core.ports import KeyRing
from sft_core.values import FileId, LinkId, ShareToken, UserId, WrappedSecret

LINK_TOKEN_PURPOSE: Final = "share-token"  # noqa: S105 (names a purpose, holds no secret)
DEFAULT_EXPIRES_HOURS: Final = 24


@attrs.frozen(kw_only=True)
class ShareLink:
    """
    One link to one file. The token is stored wrapped, and found by its digest.

    `token` is None once the link ended long ago: a sweep has destroyed it. The rest of the row still records the
    downloads and the reason why the link is not live.
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
        Return whether the link is neither revoked nor expired; its download budget may be spent.
        """
        return self.revoked_at is None and now < self.expires_at

    def ended_before(self, moment: datetime) -> bool:
        return self.expires_at < moment or (self.revoked_at is not None and self.revoked_at < moment)

    def require_live(self, now: datetime) -> None:
        if self.revoked_at is not None:
            raise LinkRevoked
        if now >= self.expires_at:
            raise LinkExpired

    def require_budget(self) -> None:
        if self.max_downloads is not None and self.downloads >= self.max_downloads:
            raise DownloadLimitReached


@attrs.frozen(kw_only=True)
class LinkSummary:
    """
    The owner's view of a file's links: the newest live one, and all downloads.

    `token` is None if there is no live link, or if its token was destroyed: after the clock was set back such a link is
    live again.
    """

    current: ShareLink | None = None
    token: ShareToken | None = None
    downloads: int = 0


@attrs.frozen(kw_only=True)
class IssuedLink:
    """
    A new link together with its token.
    """

    link: ShareLink
    token: ShareToken


def digest(token: ShareToken) -> bytes:
    """
    Return a token's SHA-256 digest; 256 random bits need no slow hash.
    """
    return hashlib.sha256(token.reveal()).digest()


def reveal(keyring: KeyRing, link: ShareLink) -> ShareToken | None:
    """
    Return the link's token, for its owner; None if a sweep has destroyed it.
    """
    if link.token is None:
        return None
    secret = keyring.unwrap(link.token, purpose=LINK_TOKEN_PURPOSE, context=link.id.bytes)
    return ShareToken(secret.reveal())
