"""
Requests under an idempotency key: done once, answered the same, whoever else is at it and whatever breaks off.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import attrs
import pytest

from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase
from sft_core.application import Application
from sft_core.errors import (
    DatabaseUnavailable,
    FileNotFound,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidValue,
    ResultGone,
)
from sft_core.sharing.idempotency import IdempotencyKey, IdempotentRequest
from sft_core.sharing.use_cases import IdempotentResult, IssuedLink
from sft_core.users.model import User
from sft_core.values import FileName, Page, UserId
from sft_core.vault.model import ShareTerms
from sft_core.vault.use_cases import UploadSession
from support.app.library import LostCommitDatabase, register

NAME = FileName.parse("once.txt")
CONTENT = b"once"
KEY = IdempotencyKey.parse("8e03978e-40d5-43e8-bc93-6894a57f9324")
OWNER = UserId(UUID(int=1))


def request(*facts: str, key: IdempotencyKey = KEY) -> IdempotentRequest:
    return IdempotentRequest(key=key, fingerprint=key.fingerprint(*facts))


REQUEST = request("this")


def received(sft: Application, owner: User) -> UploadSession:
    upload = sft.vault.begin_upload(owner=owner.id, name=NAME, announced_size=len(CONTENT))
    sft.vault.store_part(upload, CONTENT)
    return upload


def sealed(
    sft: Application, owner: User, *, public: bool = False, asked: IdempotentRequest = REQUEST
) -> IdempotentResult:
    return sft.sharing.seal_upload(
        received(sft, owner), terms=ShareTerms(max_downloads=3), public=public, idempotency=asked
    )


def stored(sft: Application, owner: User) -> int:
    return len(sft.vault.list_files(owner=owner.id, page=Page()))


# --- keys and fingerprints -------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a", "!", "~", "x" * 255, '"quoted"'])
def test_a_key_is_any_visible_ascii(text: str) -> None:
    """Up to 255 characters of it; and it does not show where it is printed."""
    key = IdempotencyKey.parse(text)
    assert key.reveal() == text.encode()
    assert repr(key) == "IdempotencyKey(***)"


@pytest.mark.parametrize("text", ["", "x" * 256, "a b", "a\n", "\x7f", "é", None, 7])
def test_what_is_no_key_is_refused(text: object) -> None:
    """Nothing, too much, blanks, control characters, other scripts, other types."""
    with pytest.raises(InvalidValue, match="Idempotency-Key"):
        IdempotencyKey.parse(text)


def test_a_key_is_its_owners() -> None:
    """The same key of two owners is two keys, and neither shows in what is stored."""
    digests = {KEY.digest(OWNER), KEY.digest(UserId(UUID(int=2))), IdempotencyKey.parse("other").digest(OWNER)}
    assert {len(digest) for digest in digests} == {32}
    assert len(digests) == 3


def test_no_two_lists_of_facts_have_one_fingerprint() -> None:
    """Facts do not run into each other, and a number, a text, bytes and nothing are told apart; so are keys."""
    lists: list[tuple[bytes | str | int | None, ...]] = [
        (), ("",), (b"",), (None,), (0,), ("0",), (b"0",), ("None",), ("ab", "c"), ("a", "bc"), ("abc",), (1,), (True,)
    ]  # fmt: skip
    prints = [KEY.fingerprint(*facts) for facts in lists]
    assert len({*prints}) == len(lists)
    assert KEY.fingerprint("ab", "c") == prints[8]
    assert IdempotencyKey.parse("other").fingerprint("ab", "c") != prints[8]


# --- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("public", [False, True])
def test_what_was_made_is_found_again(sft: Application, maya: User, *, public: bool) -> None:
    """File, link and token are those of the first answer, by the key and the same facts."""
    assert sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST) is None
    made = sealed(sft, maya, public=public)
    assert sft.sharing.find_idempotent_result.is_recorded(owner=maya.id, key=KEY)
    assert (made.issued is not None) == public
    assert sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST) == made
    assert b"".join(sft.vault.read_file(made.file)) == CONTENT


def test_it_is_the_same_after_the_link_is_used_and_withdrawn(sft: Application, maya: User) -> None:
    """The token is the first one's; later links of the file are not taken for it."""
    made = sealed(sft, maya, public=True)
    assert made.issued is not None
    sft.sharing.redeem_share_link(token=made.issued.token)
    sft.sharing.revoke_share_link(owner=maya.id, token=made.issued.token)
    sft.sharing.issue_share_link(owner=maya.id, file_id=made.file.id)
    again = sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST)
    assert again is not None
    assert again.issued is not None
    assert again.issued.token == made.issued.token
    assert again.issued.link.expires_at == made.issued.link.expires_at


def test_another_request_under_the_key_is_refused(sft: Application, maya: User) -> None:
    """Found or made: nothing of it is done, and the first answer stays."""
    made = sealed(sft, maya)
    other = request("another")
    with pytest.raises(IdempotencyKeyReused):
        sft.sharing.find_idempotent_result(owner=maya.id, request=other)
    with pytest.raises(IdempotencyKeyInUse):
        sealed(sft, maya, public=True, asked=other)
    for asked in (other, REQUEST):
        with pytest.raises(IdempotencyKeyReused):
            sft.sharing.issue_share_link(owner=maya.id, file_id=made.file.id, idempotency=asked)
    assert stored(sft, maya) == 1
    assert sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST) == made


def test_one_owners_key_is_nothing_to_another(sft: Application, maya: User) -> None:
    """Neither found nor in the way."""
    sealed(sft, maya)
    noor = register(sft, "noor")
    assert not sft.sharing.find_idempotent_result.is_recorded(owner=noor.id, key=KEY)
    assert sft.sharing.find_idempotent_result(owner=noor.id, request=REQUEST) is None
    assert sealed(sft, noor).file.owner == noor.id


def test_whoever_comes_second_leaves_nothing(sft: Application, maya: User) -> None:
    """Its upload is refused by its commit and given up; the row, the bytes and the quota are those of one file."""
    first, second = received(sft, maya), received(sft, maya)
    made = sft.sharing.seal_upload(first, idempotency=REQUEST)
    with pytest.raises(IdempotencyKeyInUse):
        sft.sharing.seal_upload(second, idempotency=REQUEST)
    sft.vault.abort_upload(second)
    assert sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST) == made
    assert stored(sft, maya) == len([*sft.vault.store_part.blobs.list()]) == 1
    with sft.vault.find_file.begin(read_only=True) as unit:
        assert unit.quotas.used(maya.id) == len(CONTENT)


def test_a_deleted_file_is_not_made_again(sft: Application, maya: User) -> None:
    """A repeat that comes late is told that it is gone."""
    made = sealed(sft, maya)
    sft.vault.delete_file(owner=maya.id, file_id=made.file.id)
    with pytest.raises(ResultGone):
        sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST)
    with pytest.raises(IdempotencyKeyInUse):
        sealed(sft, maya)


def test_a_link_whose_token_was_destroyed_is_not_made_again(sft: Application, maya: User) -> None:
    """A sweep spares it as long as the answer is kept; should clocks have differed, the repeat is told."""
    sealed(sft, maya, public=True)
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    links = begin._committed.links
    links.update({link_id: attrs.evolve(link, token=None) for link_id, link in links.items()})
    with pytest.raises(ResultGone):
        sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST)


def test_a_key_is_forgotten_in_its_time(sft: Application, maya: User, clock: SettableClock) -> None:
    """After 24 hours, to the microsecond, the same request makes another file."""
    made = sealed(sft, maya)
    clock.advance(hours=24, microseconds=-1)
    assert sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST) == made
    clock.advance(microseconds=1)
    assert sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST) is None
    assert sealed(sft, maya).file.id != made.file.id


# --- links -----------------------------------------------------------------------------------------


def test_a_link_is_made_once(sft: Application, maya: User) -> None:
    """The same token each time; another file's, or another owner's, is not given by it."""
    file = sealed(sft, maya, asked=request("upload", key=IdempotencyKey.parse("upload"))).file
    made = [
        sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, idempotency=REQUEST, max_downloads=2)
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert made[0].link.max_downloads == 2
    (summary,) = sft.sharing.summarise_links([file]).values()
    assert summary.token == made[0].token
    noor = register(sft, "noor")
    with pytest.raises(FileNotFound):
        sft.sharing.issue_share_link(owner=noor.id, file_id=file.id, idempotency=REQUEST)
    assert not sft.sharing.find_idempotent_result.is_recorded(owner=noor.id, key=KEY)


def test_a_link_that_somebody_else_makes_meanwhile_is_found(sft: Application, maya: User) -> None:
    """Between the look and the commit the same request is done: its link is the answer."""
    file = sealed(sft, maya, asked=request("upload", key=IdempotencyKey.parse("upload"))).file
    meanwhile: list[IssuedLink] = []

    def make() -> None:
        meanwhile.append(sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, idempotency=REQUEST))

    late = attrs.evolve(sft.sharing.issue_share_link, find_result=LooksTooEarly(sft, make))  # type: ignore[arg-type]  # all that is asked of it
    assert late(owner=maya.id, file_id=file.id, idempotency=REQUEST) == meanwhile[0]


def test_a_key_that_is_over_between_two_looks_is_said_to_come_again(sft: Application, maya: User) -> None:
    """Taken at the commit and found no more: nobody can tell any longer what it stood for."""
    file = sealed(sft, maya, asked=request("upload", key=IdempotencyKey.parse("upload"))).file
    sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, idempotency=REQUEST)
    blind = attrs.evolve(sft.sharing.issue_share_link, find_result=lambda **_: None)  # type: ignore[arg-type]  # all that is asked of it
    with pytest.raises(IdempotencyKeyInUse):
        blind(owner=maya.id, file_id=file.id, idempotency=REQUEST)


@attrs.define
class LooksTooEarly:
    """
    Finds nothing the first time, and lets something happen before it says so.
    """

    _sft: Application
    _meanwhile: Callable[[], object]
    _looked: bool = attrs.field(default=False, init=False)

    def __call__(self, *, owner: UserId, request: IdempotentRequest) -> IdempotentResult | None:
        if not self._looked:
            self._looked = True
            self._meanwhile()
            return None
        return self._sft.sharing.find_idempotent_result(owner=owner, request=request)


# --- commits without an answer ---------------------------------------------------------------------


@pytest.mark.parametrize("happens", [False, True])
@pytest.mark.parametrize("public", [False, True])
def test_a_commit_without_an_answer_is_decided_by_the_repeat(
    sft: Application, maya: User, *, happens: bool, public: bool
) -> None:
    """Whether the first one's commit happened or not, after the repeat there is one file and its answer."""
    assert isinstance(sft.vault.find_file.begin, MemoryDatabase)
    lost = LostCommitDatabase(sft.vault.find_file.begin, 0, happens=happens)
    first = received(sft, maya)
    with pytest.raises(DatabaseUnavailable):
        attrs.evolve(sft.sharing.seal_upload, begin=lost)(first, public=public, idempotency=REQUEST)
    found = sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST)
    assert (found is not None) == happens
    made = found or sealed(sft, maya, public=public)
    assert (made.file.id == first.file.id) == happens
    assert stored(sft, maya) == 1
    assert b"".join(sft.vault.read_file(made.file)) == CONTENT
    assert sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST) == made


@pytest.mark.parametrize("happens", [False, True])
def test_a_links_commit_without_an_answer_is_decided_by_the_repeat(
    sft: Application, maya: User, *, happens: bool
) -> None:
    """There is one link, and the repeat has its token."""
    file = sealed(sft, maya, asked=request("upload", key=IdempotencyKey.parse("upload"))).file
    assert isinstance(sft.vault.find_file.begin, MemoryDatabase)
    lost = LostCommitDatabase(sft.vault.find_file.begin, 0, happens=happens)
    with pytest.raises(DatabaseUnavailable):
        attrs.evolve(sft.sharing.issue_share_link, begin=lost)(owner=maya.id, file_id=file.id, idempotency=REQUEST)
    made = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, idempotency=REQUEST)
    assert isinstance(sft.vault.find_file.begin, MemoryDatabase)
    assert list(sft.vault.find_file.begin.snapshot().links.values()) == [made.link]
