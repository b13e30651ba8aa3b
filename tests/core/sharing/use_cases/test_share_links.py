"""
Links: why one gives no file, what comes between the look and the claim, and whose they are.
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


# --- why a link gives no file ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("revoked", "over", "spent", "reason"),
    [
        (True, False, False, LinkRevoked),
        (True, True, True, LinkRevoked),
        (False, True, False, LinkExpired),
        (False, True, True, LinkExpired),
        (False, False, True, DownloadLimitReached),
    ],
)
def test_the_reason_that_lasts_longest_is_the_one_that_is_told(
    sft: Application,
    maya: User,
    file: File,
    clock: SettableClock,
    *,
    revoked: bool,
    over: bool,
    spent: bool,
    reason: type[SftError],
) -> None:
    """Revoked goes before expired, expired before spent; looking tells the same as fetching, and neither counts."""
    issued = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, expires_hours=1, max_downloads=1)
    if spent:
        sft.sharing.redeem_share_link(token=issued.token)
    if over:
        clock.advance(hours=1)
    if revoked:
        sft.sharing.revoke_share_link(owner=maya.id, token=issued.token)
    for use_case in (sft.sharing.redeem_share_link, sft.sharing.find_shared_file):
        with pytest.raises(reason):
            use_case(token=issued.token)
    assert stored_link(sft, issued).downloads == int(spent)


@attrs.frozen(kw_only=True)
class Meanwhile(FindSharedFile):
    """
    Finds a link and its file, and lets something happen to them before they are used, once.
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
def test_what_comes_true_between_the_look_and_the_claim_is_told(
    sft: Application,
    maya: User,
    file: File,
    happens: Callable[[SharingUnit, ShareLink, File], object],
    reason: type[SftError],
) -> None:
    """The claim decides, and the reason is read again: no download is given on what was true before."""
    issued = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, max_downloads=1)
    find = Meanwhile(
        begin=sft.sharing.find_shared_file.begin, clock=sft.sharing.find_shared_file.clock, happens=happens
    )
    with pytest.raises(reason):
        attrs.evolve(sft.sharing.redeem_share_link, find=find)(token=issued.token)
    assert find.happened == [issued.link]


def test_a_refused_download_changes_nothing(sft: Application, maya: User, file: File) -> None:
    """What another did within the unit that is refused is undone with it: a refusal commits nothing."""
    issued = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, max_downloads=1)
    find = Meanwhile(
        begin=sft.sharing.find_shared_file.begin, clock=sft.sharing.find_shared_file.clock, happens=is_spent
    )
    with pytest.raises(DownloadLimitReached):
        attrs.evolve(sft.sharing.redeem_share_link, find=find)(token=issued.token)
    assert sft.sharing.redeem_share_link(token=issued.token) == file


# --- taking links back -----------------------------------------------------------------------------


def test_withdrawing_twice_keeps_the_first_moment(
    sft: Application, maya: User, file: File, clock: SettableClock
) -> None:
    """It is no error, and the link ended when it was withdrawn first."""
    issued = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id)
    first = clock.now()
    for _ in range(2):
        sft.sharing.revoke_share_link(owner=maya.id, token=issued.token)
        clock.advance(minutes=5)
    assert stored_link(sft, issued).revoked_at == first


def test_a_link_that_is_over_or_spent_can_still_be_withdrawn(
    sft: Application, maya: User, file: File, clock: SettableClock
) -> None:
    """Withdrawing asks only whose it is; what its holder is told changes with it."""
    issued = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, expires_hours=1, max_downloads=1)
    sft.sharing.redeem_share_link(token=issued.token)
    clock.advance(hours=2)
    sft.sharing.revoke_share_link(owner=maya.id, token=issued.token)
    with pytest.raises(LinkRevoked):
        sft.sharing.redeem_share_link(token=issued.token)


def test_withdrawing_one_link_leaves_the_others(sft: Application, maya: User, file: File) -> None:
    """Neither another link to the file nor the file itself notices."""
    gone, kept = (sft.sharing.issue_share_link(owner=maya.id, file_id=file.id) for _ in range(2))
    sft.sharing.revoke_share_link(owner=maya.id, token=gone.token)
    assert sft.sharing.redeem_share_link(token=kept.token) == file
    assert sft.vault.find_file(owner=maya.id, file_id=file.id) == file


# --- making them -----------------------------------------------------------------------------------


def test_a_link_is_made_for_a_file_that_is_there_and_ones_own(sft: Application, maya: User, file: File) -> None:
    """Another's file, one that is being received and one that is deleted are all files that are not there."""
    noor = register(sft, "noor")
    upload = sft.vault.begin_upload(owner=maya.id, name=NAME)
    gone = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"gone"])
    sft.vault.delete_file(owner=maya.id, file_id=gone.id)
    for owner, file_id in ((noor, file.id), (maya, upload.file.id), (maya, gone.id)):
        with pytest.raises(FileNotFound):
            sft.sharing.issue_share_link(owner=owner.id, file_id=file_id)
    assert sft.sharing.summarise_links([file])[file.id].downloads == 0
    assert sft.sharing.summarise_links([file])[file.id].current is None


def test_a_public_upload_is_never_there_without_its_link(sft: Application, maya: User) -> None:
    """If the link cannot be made the file is not sealed either, and can be sealed and shared later."""
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


def test_a_file_shows_the_newest_link_that_is_live(
    sft: Application, maya: User, file: File, clock: SettableClock
) -> None:
    """When that one ends the one before it shows again, with its own token; all downloads are counted."""
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


def test_a_token_is_kept_wrapped_and_told_to_nobody(sft: Application, maya: User, file: File) -> None:
    """The row holds its digest and its wrapped form, bound to this link; no text holds the token."""
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
