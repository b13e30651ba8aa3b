"""
The share link repository in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, bindparam, insert, or_, select, update

from sft_adapters.sql import retired_keys
from sft_adapters.sql.repository import Repository
from sft_adapters.sql.tables import links
from sft_core.sharing.model import ShareLink
from sft_core.values import FileId, LinkId, UserId, WrappedSecret

_FIND: Final = select(links).where(links.c.token_digest == bindparam("digest"))
_OF_FILES: Final = (
    select(links)
    .where(links.c.file_id.in_(bindparam("files", expanding=True)))
    .order_by(links.c.created_at.desc(), links.c.id.desc())
)


def to_row(link: ShareLink) -> dict[str, Any]:
    """
    Return the columns of a link.
    """
    return {
        "id": link.id.bytes,
        "file_id": link.file_id.bytes,
        "owner_id": link.owner.bytes,
        "token_digest": link.token_digest,
        "token_key_id": link.token.key_id if link.token else None,
        "wrapped_token": link.token.ciphertext if link.token else None,
        "created_at": link.created_at,
        "expires_at": link.expires_at,
        "max_downloads": link.max_downloads,
        "downloads": link.downloads,
        "revoked_at": link.revoked_at,
    }


def _from_row(row: Row[Any]) -> ShareLink:
    return ShareLink(
        id=LinkId(UUID(bytes=row.id)),
        file_id=FileId(UUID(bytes=row.file_id)),
        owner=UserId(UUID(bytes=row.owner_id)),
        token_digest=row.token_digest,
        token=WrappedSecret(row.token_key_id, row.wrapped_token) if row.token_key_id is not None else None,
        created_at=row.created_at,
        expires_at=row.expires_at,
        max_downloads=row.max_downloads,
        downloads=row.downloads,
        revoked_at=row.revoked_at,
    )


class SqlLinks(Repository):
    """
    Implements `sft_core.sharing.ports.LinkRepository`.
    """

    def add(self, link: ShareLink) -> None:
        retired_keys.require_usable_key(self.connection, link.token)
        self.connection.execute(insert(links).values(to_row(link)))

    def find(self, token_digest: bytes) -> ShareLink | None:
        row = self.connection.execute(_FIND, {"digest": token_digest}).one_or_none()
        return _from_row(row) if row is not None else None

    def of_files(self, file_ids: Iterable[FileId]) -> Sequence[ShareLink]:
        wanted = [file_id.bytes for file_id in file_ids]
        return [_from_row(row) for row in self.connection.execute(_OF_FILES, {"files": wanted})]

    def consume_download(self, link_id: LinkId, *, now: datetime) -> bool:
        has_budget = or_(links.c.max_downloads.is_(None), links.c.downloads < links.c.max_downloads)
        live = (links.c.id == link_id.bytes) & links.c.revoked_at.is_(None) & (links.c.expires_at > now)
        spend = update(links).where(live, has_budget).values(downloads=links.c.downloads + 1)
        return self.connection.execute(spend).rowcount == 1

    def revoke(self, link_id: LinkId, *, now: datetime) -> bool:
        live = (links.c.id == link_id.bytes) & links.c.revoked_at.is_(None)
        return self.connection.execute(update(links).where(live).values(revoked_at=now)).rowcount == 1
