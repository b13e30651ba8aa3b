"""
What people can do with share links, one frozen callable each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs

from sft_core.errors import DownloadLimitReached, LinkExpired, LinkNotFound
from sft_core.key_retirement import wrapped_and_stored
from sft_core.ports import Begin, Clock, Entropy, Ids, KeyRing
from sft_core.sharing.model import DEFAULT_EXPIRES_HOURS, LINK_TOKEN_PURPOSE, LinkSummary, ShareLink
from sft_core.sharing.ports import SharingUnit
from sft_core.values import SHARE_TOKEN_BYTES, FileId, LinkId, ShareToken, UserId
from sft_core.vault.model import File, FileState, ShareTerms, check_expires_hours, check_max_downloads
from sft_core.vault.use_cases import FindFile, SealUpload, Upload


def digest(token: ShareToken) -> bytes:
    """
    What a token is found by: SHA-256 suffices for 256 random bits.
    """
    return hashlib.sha256(token.reveal()).digest()


def reveal(keyring: KeyRing, link: ShareLink) -> ShareToken | None:
    """
    The link's token, for its owner; None if it has been destroyed, because the link was over for long.
    """
    if link.token is None:
        return None
    secret = keyring.unwrap(link.token, purpose=LINK_TOKEN_PURPOSE, context=link.id.bytes)
    return ShareToken(secret.reveal())


@attrs.frozen(kw_only=True)
class IssuedLink:
    """
    A new link together with its token.
    """

    link: ShareLink
    token: ShareToken


@attrs.frozen(kw_only=True)
class IssueShareLink:
    """
    Make a link to one of the owner's files; earlier links stay as they are.

    What is not said is taken from the terms given at upload, then from the defaults (24 hours,
    no limit of downloads). It ends with the file at the latest, as that is to end now.
    """

    begin: Begin[SharingUnit]
    ids: Ids
    clock: Clock
    entropy: Entropy
    keyring: KeyRing
    find: FindFile

    def __call__(
        self,
        *,
        owner: UserId,
        file_id: FileId,
        expires_hours: int | None = None,
        max_downloads: int | None = None,
    ) -> IssuedLink:
        check_expires_hours(expires_hours)
        check_max_downloads(max_downloads)

        def issued() -> IssuedLink:
            with self.begin() as unit:
                file = self.find.within(unit, owner=owner, file_id=file_id)
                made = self.within(unit, file, expires_hours=expires_hours, max_downloads=max_downloads)
                unit.commit()
            return made

        return wrapped_and_stored(issued)

    def draw(self) -> ShareToken:
        """
        A token that nobody has seen.
        """
        return ShareToken(self.entropy.draw(SHARE_TOKEN_BYTES))

    def within(
        self,
        unit: SharingUnit,
        file: File,
        *,
        expires_hours: int | None = None,
        max_downloads: int | None = None,
        token: ShareToken | None = None,
    ) -> IssuedLink:
        """
        Make the link inside a unit of work that somebody else commits; of a token that is drawn already, if given.

        `KeyRetired` as `wrapped_and_stored` says.
        """
        token = token or self.draw()
        now = self.clock.now()
        asked = now + timedelta(hours=expires_hours or file.terms.expires_hours or DEFAULT_EXPIRES_HOURS)
        link_id = LinkId(self.ids.new())
        link = ShareLink(
            id=link_id,
            file_id=file.id,
            owner=file.owner,
            token_digest=digest(token),
            token=self.keyring.wrap(token, purpose=LINK_TOKEN_PURPOSE, context=link_id.bytes),
            created_at=now,
            expires_at=min(asked, file.expires_at or asked),
            max_downloads=max_downloads if max_downloads is not None else file.terms.max_downloads,
        )
        unit.links.add(link)
        return IssuedLink(link=link, token=token)


@attrs.frozen(kw_only=True)
class SealAndShare:
    """
    Seal an upload and make its first link in one commit: never a public file without its link.
    """

    begin: Begin[SharingUnit]
    seal: SealUpload
    issue: IssueShareLink

    def __call__(self, upload: Upload, *, terms: ShareTerms) -> File:
        self.seal.complete(upload)
        return wrapped_and_stored(lambda: self._sealed(upload, terms))

    def _sealed(self, upload: Upload, terms: ShareTerms) -> File:
        with self.begin() as unit:
            file = self.seal.within(unit, upload, terms=terms)
            self.issue.within(unit, file)
            unit.commit()
        return file


@attrs.frozen(kw_only=True)
class FindSharedFile:
    """
    The link of a token and its file, spending nothing: for HEAD, previews and conditions.

    `LinkNotFound`, `LinkRevoked`, `LinkExpired` or `DownloadLimitReached` if it leads nowhere.
    """

    begin: Begin[SharingUnit]
    clock: Clock

    def __call__(self, *, token: ShareToken) -> tuple[ShareLink, File]:
        with self.begin(read_only=True) as unit:
            link, file = self.within(unit, token)
        self.require_open(link, file, self.clock.now())
        link.require_budget()
        return link, file

    @staticmethod
    def require_open(link: ShareLink, file: File, now: datetime) -> None:
        """
        Raise `LinkRevoked` or `LinkExpired` unless both the link and its file live.
        """
        link.require_live(now)
        if file.is_expired(now):
            raise LinkExpired

    def within(self, unit: SharingUnit, token: ShareToken) -> tuple[ShareLink, File]:
        """
        Find both inside a unit of work that is open already, whatever state the link is in.
        """
        link = unit.links.find(digest(token))
        file = unit.files.get(link.file_id) if link is not None else None
        if link is None or file is None or file.state is not FileState.SEALED:
            raise LinkNotFound
        return link, file


@attrs.frozen(kw_only=True)
class RedeemShareLink:
    """
    Spend one download of a link and tell which file it grants.

    The budget is exact under any load: one conditional update decides, before the first byte.
    """

    begin: Begin[SharingUnit]
    clock: Clock
    find: FindSharedFile

    def __call__(self, *, token: ShareToken) -> File:
        with self.begin() as unit:
            now = self.clock.now()
            link, file = self.find.within(unit, token)
            if file.is_expired(now) or not unit.links.claim(link.id, now=now):
                # Read again for the reason: it may have come true between the look and the claim.
                self.find.require_open(*self.find.within(unit, token), now)
                raise DownloadLimitReached
            unit.commit()
        return file


@attrs.frozen(kw_only=True)
class RevokeShareLink:
    """
    Withdraw one of the owner's links; withdrawing it again is no error.
    """

    begin: Begin[SharingUnit]
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
    What the owner sees of the links of their files, one summary for each file.
    """

    begin: Begin[SharingUnit]
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
