"""
Share links: refusal reasons, concurrent changes during a download, and ownership.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from sft_adapters.memory.clock import SettableClock
from sft_core.application import Application
from sft_core.errors import (
    DownloadLimitReached,
    FileNotFound,
    LinkExpired,
    LinkNotFound,
    LinkRevoked,
    SftError,
    UnwrapFailed,
)
from sft_core.sharing.model import ShareLink
from sft_core.sharing.ports import SharingUnit
from sft_core.sharing.use_cases import FindSharedFile, IssuedLink
from sft_core.users.model import User
from sft_core.values import FileName, Page, ShareToken
from sft_core.vault.model import File, FileState, ShareTerms
from support.app.library import HookedKeyRing, register

NAME = FileName.parse("notes.txt")


@pytest.fixture
def file(sft: Application, maya: User) -> File:
    return sft.vault.store_file(owner=maya.id, name=NAME, content=[b"content"])


def stored_link(sft: Application, issued: IssuedLink) -> ShareLink:
    with sft.sharing.find_shared_file.begin(read_only=True) as unit:
        found = unit.links.of_files([issued.link.file_id])
    return next(link for link in found if link.id == issued.link.id)


# --- why a link is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("revoked", "expired", "used_up", "reason"),
    [
        (True, False, False, LinkRevoked),
        (True, True, True, LinkRevoked),
        (False, True, False, LinkExpired),
        (False, True, True, LinkExpired),
        (False, False, True, DownloadLimitReached),
    ],
)
def test_most_permanent_reason_is_reported(
    sft: Application,
    maya: User,
    file: File,
    clock: SettableClock,
    *,
    revoked: bool,
    expired: bool,
    used_up: bool,
    reason: type[SftError],
) -> None:
    """Revoked precedes expired, expired precedes used up; a lookup raises the same error, and no refusal is counted."""
    issued = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, expires_hours=1, max_downloads=1)
    if used_up:
        sft.sharing.redeem_share_link(token=issued.token)
    if expired:
        clock.advance(hours=1)
    if revoked:
        sft.sharing.revoke_share_link(owner=maya.id, token=issued.token)
    for use_case in (sft.sharing.redeem_share_link, sft.sharing.find_shared_file):
        with pytest.raises(reason):
            use_case(token=issued.token)
    assert stored_link(sft, issued).downloads == int(used_up)


@attrs.frozen(kw_only=True)
class Meanwhile(FindSharedFile):
    """
    Finds a link and its file, and runs a callback once before they are used.
    """

    happens: Callable[[SharingUnit, ShareLink, File], object]
    happened: list[ShareLink] = attrs.field(factory=list)

    def within(self, unit: SharingUnit, token: ShareToken) -> tuple[ShareLink, File]:
        link, file = super().within(unit, token)
        if not self.happened:
            self.happened.append(link)
            self.happens(unit, link, file)
        return link, file


def is_revoked(unit: SharingUnit, link: ShareLink, _file: File) -> None:
    assert unit.links.revoke(link.id, now=link.created_at)


def is_spent(unit: SharingUnit, link: ShareLink, _file: File) -> None:
    assert unit.links.consume_download(link.id, now=link.created_at)


def is_deleted(unit: SharingUnit, _link: ShareLink, file: File) -> None:
    assert unit.files.replace(file.deleting(file.created_at), expected=FileState.SEALED)
    unit.files.remove(file.id)


@pytest.mark.parametrize(
    ("happens", "reason"),
    [(is_revoked, LinkRevoked), (is_spent, DownloadLimitReached), (is_deleted, LinkNotFound)],
)
def test_change_between_lookup_and_download_is_reported(
    sft: Application,
    maya: User,
    file: File,
    happens: Callable[[SharingUnit, ShareLink, File], object],
    reason: type[SftError],
) -> None:
    """The budget update decides, and the reason is read again: no download is granted on outdated data."""
    issued = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, max_downloads=1)
    find = Meanwhile(
        begin=sft.sharing.find_shared_file.begin, clock=sft.sharing.find_shared_file.clock, happens=happens
    )
    with pytest.raises(reason):
        attrs.evolve(sft.sharing.redeem_share_link, find=find)(token=issued.token)
    assert find.happened == [issued.link]


def test_refused_download_changes_nothing(sft: Application, maya: User, file: File) -> None:
    """A refusal commits nothing: changes made in the same unit of work are rolled back."""
    issued = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, max_downloads=1)
    find = Meanwhile(
        begin=sft.sharing.find_shared_file.begin, clock=sft.sharing.find_shared_file.clock, happens=is_spent
    )
    with pytest.raises(DownloadLimitReached):
        attrs.evolve(sft.sharing.redeem_share_link, find=find)(token=issued.token)
    assert sft.sharing.redeem_share_link(token=issued.token) == file


# --- revocation ------------------------------------------------------------------------------------


def test_second_revocation_keeps_the_first_time(sft: Application, maya: User, file: File, clock: SettableClock) -> None:
    """A second revocation is no error and keeps the time of the first."""
    issued = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id)
    first = clock.now()
    for _ in range(2):
        sft.sharing.revoke_share_link(owner=maya.id, token=issued.token)
        clock.advance(minutes=5)
    assert stored_link(sft, issued).revoked_at == first


def test_expired_or_used_up_link_can_be_revoked(sft: Application, maya: User, file: File, clock: SettableClock) -> None:
    """Revocation requires ownership only, and recipients then get LinkRevoked."""
    issued = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, expires_hours=1, max_downloads=1)
    sft.sharing.redeem_share_link(token=issued.token)
    clock.advance(hours=2)
    sft.sharing.revoke_share_link(owner=maya.id, token=issued.token)
    with pytest.raises(LinkRevoked):
        sft.sharing.redeem_share_link(token=issued.token)


def test_revocation_keeps_other_links(sft: Application, maya: User, file: File) -> None:
    """Other links to the file and the file itself stay usable."""
    revoked_link, kept = (sft.sharing.issue_share_link(owner=maya.id, file_id=file.id) for _ in range(2))
    sft.sharing.revoke_share_link(owner=maya.id, token=revoked_link.token)
    assert sft.sharing.redeem_share_link(token=kept.token) == file
    assert sft.vault.find_file(owner=maya.id, file_id=file.id) == file


# --- issuing ---------------------------------------------------------------------------------------


def test_link_is_issued_only_for_ones_own_sealed_file(sft: Application, maya: User, file: File) -> None:
    """Another owner's file, an incomplete upload and a deleted file are all not found."""
    noor = register(sft, "noor")
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME)
    revoked_link = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"gone"])
    sft.vault.delete_file(owner=maya.id, file_id=revoked_link.id)
    for owner, file_id in ((noor, file.id), (maya, upload.file.id), (maya, revoked_link.id)):
        with pytest.raises(FileNotFound):
            sft.sharing.issue_share_link(owner=owner.id, file_id=file_id)
    assert sft.sharing.summarise_links([file])[file.id].downloads == 0
    assert sft.sharing.summarise_links([file])[file.id].current is None


def test_public_file_always_has_its_link(sft: Application, maya: User) -> None:
    """If the link cannot be issued the file is not sealed either, and can be sealed and shared later."""
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME)
    sft.vault.store_part(upload, b"content")

    def no_answer() -> None:
        raise UnwrapFailed

    ring = HookedKeyRing(sft.sharing.issue_share_link.keyring, no_answer)
    seal = attrs.evolve(sft.sharing.seal_upload, issue=attrs.evolve(sft.sharing.seal_upload.issue, keyring=ring))
    with pytest.raises(UnwrapFailed):
        seal(upload, terms=ShareTerms(), public=True)
    assert sft.vault.list_files(owner=maya.id, page=Page()) == ()
    file = sft.sharing.seal_upload(upload, terms=ShareTerms(max_downloads=2), public=True).file
    current = sft.sharing.summarise_links([file])[file.id].current
    assert current is not None
    assert current.max_downloads == 2


def test_newest_live_link_is_shown(sft: Application, maya: User, file: File, clock: SettableClock) -> None:
    """When the newest link expires, the one before it is shown with its own token; all downloads are counted."""
    issued = []
    for hours in (3, 2, 1):
        issued.append(sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, expires_hours=hours))
        sft.sharing.redeem_share_link(token=issued[-1].token)
        clock.advance(minutes=1)
    sft.sharing.revoke_share_link(owner=maya.id, token=issued[1].token)
    shown = [sft.sharing.summarise_links([file])[file.id]]
    clock.advance(hours=1)
    shown.append(sft.sharing.summarise_links([file])[file.id])
    clock.advance(hours=2)
    shown.append(sft.sharing.summarise_links([file])[file.id])
    assert [summary.token for summary in shown] == [issued[2].token, issued[0].token, None]
    assert [summary.downloads for summary in shown] == [3, 3, 3]


def test_token_is_stored_wrapped_and_never_printed(sft: Application, maya: User, file: File) -> None:
    """The row contains its digest and its wrapped form, bound to this link; no `repr` contains the token."""
    issued = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id)
    other = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id)
    link = stored_link(sft, issued)
    secret = issued.token.reveal()
    assert link.token is not None
    assert secret not in link.token.ciphertext + link.token_digest
    assert issued.token.encode() not in repr(issued) + repr(link)
    with sft.sharing.issue_share_link.begin() as unit:
        unit.links.add(attrs.evolve(other.link, token=link.token))
        unit.commit()
    with pytest.raises(UnwrapFailed):
        sft.sharing.summarise_links([file])
