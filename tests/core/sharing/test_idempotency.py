"""
Idempotent requests: one effect and the same result, despite concurrent requests and interruptions.
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


def upload_of(sft: Application, owner: User) -> UploadSession:
    upload = sft.vault.begin_upload(owner=owner.id, name=NAME, announced_size=len(CONTENT))
    sft.vault.store_part(upload, CONTENT)
    return upload


def sealed(
    sft: Application, owner: User, *, public: bool = False, asked: IdempotentRequest = REQUEST
) -> IdempotentResult:
    return sft.sharing.seal_upload(
        upload_of(sft, owner), terms=ShareTerms(max_downloads=3), public=public, idempotency=asked
    )


def stored(sft: Application, owner: User) -> int:
    return len(sft.vault.list_files(owner=owner.id, page=Page()))


# --- keys and fingerprints -------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a", "!", "~", "x" * 255, '"quoted"'])
def test_key_may_be_any_visible_ascii(text: str) -> None:
    """A key has up to 255 visible ASCII characters, and its `repr` is masked."""
    key = IdempotencyKey.parse(text)
    assert key.reveal() == text.encode()
    assert repr(key) == "IdempotencyKey(***)"


@pytest.mark.parametrize("text", ["", "x" * 256, "a b", "a\n", "\x7f", "é", None, 7])
def test_invalid_key_is_refused(text: object) -> None:
    """Empty and overlong texts, blanks, control characters, other scripts and other types are refused."""
    with pytest.raises(InvalidValue, match="Idempotency-Key"):
        IdempotencyKey.parse(text)


def test_key_belongs_to_one_owner() -> None:
    """Two owners' equal keys have different digests, and the digests do not reveal the key or the owner."""
    digests = {KEY.digest(OWNER), KEY.digest(UserId(UUID(int=2))), IdempotencyKey.parse("other").digest(OWNER)}
    assert {len(digest) for digest in digests} == {32}
    assert len(digests) == 3


def test_different_facts_have_different_fingerprints() -> None:
    """Adjacent facts, types and keys are distinguished: texts, numbers, bytes and None differ."""
    lists: list[tuple[bytes | str | int | None, ...]] = [
        (), ("",), (b"",), (None,), (0,), ("0",), (b"0",), ("None",), ("ab", "c"), ("a", "bc"), ("abc",), (1,), (True,)
    ]  # fmt: skip
    prints = [KEY.fingerprint(*facts) for facts in lists]
    assert len({*prints}) == len(lists)
    assert KEY.fingerprint("ab", "c") == prints[8]
    assert IdempotencyKey.parse("other").fingerprint("ab", "c") != prints[8]


# --- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("public", [False, True])
def test_repeat_finds_the_first_result(sft: Application, maya: User, *, public: bool) -> None:
    """The same key and facts return the file, link and token of the first request."""
    assert sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST) is None
    made = sealed(sft, maya, public=public)
    assert sft.sharing.find_idempotent_result.is_recorded(owner=maya.id, key=KEY)
    assert (made.issued is not None) == public
    assert sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST) == made
    assert b"".join(sft.vault.read_file(made.file)) == CONTENT


def test_result_is_the_same_after_use_and_revocation(sft: Application, maya: User) -> None:
    """The result keeps the first token, even after later links to the file."""
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


def test_other_request_under_the_same_key_is_refused(sft: Application, maya: User) -> None:
    """Neither lookup nor execution has an effect, and the first result stays."""
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


def test_key_of_another_owner_is_independent(sft: Application, maya: User) -> None:
    """Another owner's record is neither found nor a conflict."""
    sealed(sft, maya)
    noor = register(sft, "noor")
    assert not sft.sharing.find_idempotent_result.is_recorded(owner=noor.id, key=KEY)
    assert sft.sharing.find_idempotent_result(owner=noor.id, request=REQUEST) is None
    assert sealed(sft, noor).file.owner == noor.id


def test_second_concurrent_upload_leaves_nothing(sft: Application, maya: User) -> None:
    """The second commit is refused and its upload aborted: row, bytes and quota are those of one file."""
    first, second = upload_of(sft, maya), upload_of(sft, maya)
    made = sft.sharing.seal_upload(first, idempotency=REQUEST)
    with pytest.raises(IdempotencyKeyInUse):
        sft.sharing.seal_upload(second, idempotency=REQUEST)
    sft.vault.abort_upload(second)
    assert sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST) == made
    assert stored(sft, maya) == len([*sft.vault.store_part.blobs.list()]) == 1
    with sft.vault.find_file.begin(read_only=True) as unit:
        assert unit.quotas.used(maya.id) == len(CONTENT)


def test_deleted_file_is_not_created_again(sft: Application, maya: User) -> None:
    """A late repeat raises ResultGone."""
    made = sealed(sft, maya)
    sft.vault.delete_file(owner=maya.id, file_id=made.file.id)
    with pytest.raises(ResultGone):
        sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST)
    with pytest.raises(IdempotencyKeyInUse):
        sealed(sft, maya)


def test_link_with_a_deleted_token_is_not_created_again(sft: Application, maya: User) -> None:
    """A sweep keeps the token while the record exists; if clocks differed, the repeat reports the loss."""
    sealed(sft, maya, public=True)
    begin = sft.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    links = begin._committed.links
    links.update({link_id: attrs.evolve(link, token=None) for link_id, link in links.items()})
    with pytest.raises(ResultGone):
        sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST)


def test_key_expires_after_24_hours(sft: Application, maya: User, clock: SettableClock) -> None:
    """After exactly 24 hours the same request creates another file."""
    made = sealed(sft, maya)
    clock.advance(hours=24, microseconds=-1)
    assert sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST) == made
    clock.advance(microseconds=1)
    assert sft.sharing.find_idempotent_result(owner=maya.id, request=REQUEST) is None
    assert sealed(sft, maya).file.id != made.file.id


# --- links -----------------------------------------------------------------------------------------


def test_link_is_created_once(sft: Application, maya: User) -> None:
    """Repeats return the same token; other files and other owners do not get it."""
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


def test_link_created_concurrently_is_returned(sft: Application, maya: User) -> None:
    """If the same request completes between lookup and commit, its link is returned."""
    file = sealed(sft, maya, asked=request("upload", key=IdempotencyKey.parse("upload"))).file
    meanwhile: list[IssuedLink] = []

    def make() -> None:
        meanwhile.append(sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, idempotency=REQUEST))

    late = attrs.evolve(sft.sharing.issue_share_link, find_result=EarlyLookup(sft, make))  # type: ignore[arg-type]  # all that is asked of it
    assert late(owner=maya.id, file_id=file.id, idempotency=REQUEST) == meanwhile[0]


def test_key_that_expires_between_lookups_is_in_use(sft: Application, maya: User) -> None:
    """The key conflicts at the commit but is not found afterwards, so the client has to retry."""
    file = sealed(sft, maya, asked=request("upload", key=IdempotencyKey.parse("upload"))).file
    sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, idempotency=REQUEST)
    blind = attrs.evolve(sft.sharing.issue_share_link, find_result=lambda **_: None)  # type: ignore[arg-type]  # all that is asked of it
    with pytest.raises(IdempotencyKeyInUse):
        blind(owner=maya.id, file_id=file.id, idempotency=REQUEST)


@attrs.define
class EarlyLookup:
    """
    Finds nothing the first time, and runs a callback before it returns.
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


# --- commits in doubt ------------------------------------------------------------------------------


@pytest.mark.parametrize("happens", [False, True])
@pytest.mark.parametrize("public", [False, True])
def test_commit_in_doubt_is_decided_by_the_repeat(sft: Application, maya: User, *, happens: bool, public: bool) -> None:
    """Whether the first commit happened or not, the repeat leaves one file with its recorded result."""
    assert isinstance(sft.vault.find_file.begin, MemoryDatabase)
    lost = LostCommitDatabase(sft.vault.find_file.begin, 0, happens=happens)
    first = upload_of(sft, maya)
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
def test_link_commit_in_doubt_is_decided_by_the_repeat(sft: Application, maya: User, *, happens: bool) -> None:
    """One link exists, and the repeat returns its token."""
    file = sealed(sft, maya, asked=request("upload", key=IdempotencyKey.parse("upload"))).file
    assert isinstance(sft.vault.find_file.begin, MemoryDatabase)
    lost = LostCommitDatabase(sft.vault.find_file.begin, 0, happens=happens)
    with pytest.raises(DatabaseUnavailable):
        attrs.evolve(sft.sharing.issue_share_link, begin=lost)(owner=maya.id, file_id=file.id, idempotency=REQUEST)
    made = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id, idempotency=REQUEST)
    assert isinstance(sft.vault.find_file.begin, MemoryDatabase)
    assert list(sft.vault.find_file.begin.snapshot().links.values()) == [made.link]
