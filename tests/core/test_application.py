"""
Edge cases of the use cases: lost races, missing rows, uploads that end early.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_adapters.memory.clock import SettableClock
from sft_adapters.testkit.one_time import code_of, step_at
from sft_core.application import Application
from sft_core.errors import (
    BadToken,
    BadTotpCode,
    BlobStoreUnavailable,
    Damaged,
    FileNotFound,
    FileTooLarge,
    FileTypeNotAllowed,
    InactiveUser,
    LinkNotFound,
    TooManyAttempts,
    UploadAborted,
    UploadIncomplete,
)
from sft_core.users.model import User
from sft_core.values import EmailAddress, FileName, Page, Password, ShareToken, Username
from sft_core.vault.model import MANIFEST_PAGE, FileState
from sft_core.vault.use_cases import UploadSession

PASSWORD = Password.parse("correct horse battery")
EMAIL = EmailAddress.parse("maya@example.org")
NAME = FileName.parse("notes.txt")
LIGHT = {"ARGON2_MEMORY_KIB": "8192", "PART_SIZE": "65536"}


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def sft(clock: SettableClock) -> Application:
    return memory_application(clock, LIGHT)


@pytest.fixture
def maya(sft: Application) -> User:
    return sft.users.register_user(email=EMAIL, username=Username.parse("maya"), password=PASSWORD)


def is_empty(sft: Application, owner: User) -> bool:
    """
    Whether the owner has no file and the store no part.
    """
    listed = sft.vault.list_files(owner=owner.id, page=Page())
    return not listed and not list(sft.vault.store_part.blobs.list())


def upload(sft: Application, owner: User, *parts: bytes) -> UploadSession:
    session = sft.vault.begin_upload(owner=owner.id, name=NAME)
    for part in parts:
        sft.vault.store_part(session, part)
    return session


# --- users -------------------------------------------------------------------------------------


@attrs.frozen
class Meanwhile:
    """
    A hasher that runs a callback while a password is verified.
    """

    hasher: Any
    happens: Any

    def verify(self, password: Password, hashed: str) -> None:
        self.hasher.verify(password, hashed)
        self.happens()


def deactivate(sft: Application, user: User) -> None:
    with sft.users.sign_in.begin() as unit:
        unit.users.save(attrs.evolve(user, is_active=False))
        unit.commit()


def test_account_deactivated_during_a_sign_in_is_refused(sft: Application, maya: User) -> None:
    """The stored account is read again between the password check and the session."""
    hasher: Any = Meanwhile(sft.users.sign_in.hasher, lambda: deactivate(sft, maya))
    sign_in = attrs.evolve(sft.users.sign_in, hasher=hasher)
    with pytest.raises(InactiveUser):
        sign_in(email=EMAIL, password=PASSWORD)


def test_code_spent_during_a_sign_in_is_refused(sft: Application, maya: User, clock: SettableClock) -> None:
    """The second of two sign-ins with one code is refused, even if both found it unspent."""
    seed = sft.users.set_up_totp(user=maya).seed.reveal().decode()
    access = sft.users.sign_in(email=EMAIL, password=PASSWORD).access
    user = sft.users.authenticate(access_token=access).user
    sft.users.confirm_totp(user=user, code=code_of(seed, step_at(clock.now())))
    clock.advance(seconds=30)
    code = code_of(seed, step_at(clock.now()))

    def other() -> None:
        with sft.users.sign_in.begin() as unit:
            assert unit.users.record_sign_in(maya.id, clock.now(), step_at(clock.now()))
            unit.commit()

    spend = sft.users.sign_in.spend_totp_code

    class Spending:
        def __call__(self, **given: Any) -> int:
            step = spend(**given)
            other()
            return step

    spending: Any = Spending()
    sign_in = attrs.evolve(sft.users.sign_in, spend_totp_code=spending)
    with pytest.raises(BadTotpCode):
        sign_in(email=EMAIL, password=PASSWORD, totp_code=code)


def test_token_of_an_unknown_session_is_refused(clock: SettableClock) -> None:
    """A validly signed token is refused if this store has no such session or user."""
    ours, theirs = memory_application(clock, LIGHT), memory_application(clock, LIGHT)
    theirs.users.register_user(email=EMAIL, username=Username.parse("maya"), password=PASSWORD)
    tokens = theirs.users.sign_in(email=EMAIL, password=PASSWORD)
    unknown_session = attrs.evolve(theirs.users.authenticate.verify, sessions=ours.users.authenticate.verify.sessions)
    unknown_user = attrs.evolve(theirs.users.authenticate.verify, begin=ours.users.authenticate.verify.begin)
    for verify in (unknown_session, unknown_user):
        with pytest.raises(BadToken):
            attrs.evolve(theirs.users.authenticate, verify=verify)(access_token=tokens.access)


def test_spent_code_is_refused_at_once(sft: Application, maya: User, clock: SettableClock) -> None:
    """A second use of a code is refused before anything is stored."""
    seed = sft.users.set_up_totp(user=maya).seed.reveal().decode()
    code = code_of(seed, step_at(clock.now()))
    user = sft.users.authenticate(access_token=sft.users.sign_in(email=EMAIL, password=PASSWORD).access).user
    confirmed = sft.users.confirm_totp(user=user, code=code)
    with pytest.raises(BadTotpCode):
        sft.users.disable_totp(user=confirmed, code=code)
    with pytest.raises(BadTotpCode):
        sft.users.sign_in(email=EMAIL, password=PASSWORD, totp_code=code)


def test_too_many_attempts_contains_the_wait() -> None:
    """The error contains the wait in whole seconds."""
    assert TooManyAttempts(17).retry_after == 17


# --- vault -------------------------------------------------------------------------------------


def test_long_manifest_is_recorded_in_batches(sft: Application, maya: User) -> None:
    """The manifest is stored after every 64 parts, and the file is read back completely."""
    parts = [bytes([number]) * 3 for number in range(2 * MANIFEST_PAGE + 5)]
    session = upload(sft, maya, *parts[:MANIFEST_PAGE])
    assert session.pending == []
    for part in parts[MANIFEST_PAGE:]:
        sft.vault.store_part(session, part)
    file = sft.sharing.seal_upload(session).file
    assert b"".join(map(bytes, sft.vault.read_file(file))) == b"".join(parts)


def test_aborted_upload_cannot_be_sealed(sft: Application, maya: User) -> None:
    """After the abort nothing remains, and the seal raises UploadAborted."""
    session = upload(sft, maya, b"some bytes")
    sft.vault.abort_upload(session)
    with pytest.raises(UploadAborted):
        sft.sharing.seal_upload(session)
    assert is_empty(sft, maya)


def test_sealed_file_cannot_be_aborted(sft: Application, maya: User) -> None:
    """After the seal an abort does nothing, and the file stays complete."""
    session = upload(sft, maya, b"some bytes")
    file = sft.sharing.seal_upload(session).file
    sft.vault.abort_upload(session)
    assert b"".join(map(bytes, sft.vault.read_file(file))) == b"some bytes"


def test_upload_with_unrecorded_parts_is_not_sealed(sft: Application, maya: User) -> None:
    """The size in the manifest is compared with the bytes received before the file is sealed."""
    session = upload(sft, maya, b"some bytes", b"more bytes")
    session.pending.pop()
    with pytest.raises(UploadIncomplete):
        sft.sharing.seal_upload(session)
    assert sft.vault.list_files(owner=maya.id, page=Page()) == ()


def test_content_that_raises_leaves_nothing_stored(sft: Application, maya: User) -> None:
    """The caller's own error is raised, and neither row nor part remains."""

    def content() -> Iterator[bytes]:
        yield bytes(100_000)
        raise KeyError("the caller's own")

    with pytest.raises(KeyError):
        sft.vault.store_file(owner=maya.id, name=NAME, content=content())
    assert is_empty(sft, maya)


@pytest.mark.parametrize(
    ("environ", "error"),
    [({"MAX_FILE_SIZE": "99999"}, FileTooLarge), ({"ALLOWED_EXTENSIONS": ".pdf"}, FileTypeNotAllowed)],
)
def test_file_against_the_policy_leaves_nothing(environ: dict[str, str], error: type[Exception]) -> None:
    """Too many bytes, even without an announced size, and other extensions are refused."""
    sft = memory_application(environ=LIGHT | environ)
    maya = sft.users.register_user(email=EMAIL, username=Username.parse("maya"), password=PASSWORD)
    with pytest.raises(error):
        sft.vault.store_file(owner=maya.id, name=NAME, content=[bytes(60_000), bytes(40_000)])
    assert is_empty(sft, maya)


def test_file_in_deletion_cannot_be_read(sft: Application, maya: User) -> None:
    """Its key is deleted, so an entity read earlier cannot open it."""
    file = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"x"])
    with pytest.raises(FileNotFound):
        sft.vault.read_file(file.deleting(file.created_at))


def test_manifest_with_a_gap_is_not_read(sft: Application, maya: User) -> None:
    """A missing row, or a deletion during the read, raises an error and never shortens the content."""
    file = sft.vault.store_file(owner=maya.id, name=NAME, content=[bytes(200_000)])
    reading = sft.vault.read_file(file)
    first = bytes(next(reading))
    longer = attrs.evolve(file, size=file.size + 1)
    with pytest.raises(Damaged):
        list(sft.vault.read_file(longer))
    lost = upload(sft, maya, b"first part", b"second part")
    lost.pending[1] = attrs.evolve(lost.pending[1], start=11)
    with pytest.raises(Damaged):
        list(sft.vault.read_file(sft.sharing.seal_upload(lost).file))
    sft.vault.delete_file(owner=maya.id, file_id=file.id)
    assert len(first) < file.size
    with pytest.raises(FileNotFound):
        list(reading)


@attrs.frozen
class UnavailableBlobs:
    """
    A store that is unavailable.
    """

    def list(self, prefix: str = "") -> Iterator[Any]:
        raise BlobStoreUnavailable(prefix)


def test_file_is_not_found_though_its_parts_remain(sft: Application, maya: User) -> None:
    """Its key is destroyed, and the row stays in state deleting for the next sweep."""
    file = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"x"])
    unavailable: Any = UnavailableBlobs()
    attrs.evolve(sft.vault.delete_file, blobs=unavailable)(owner=maya.id, file_id=file.id)
    with pytest.raises(FileNotFound):
        sft.vault.find_file(owner=maya.id, file_id=file.id)
    with sft.vault.delete_file.begin(read_only=True) as unit:
        kept = unit.files.get(file.id)
    assert kept is not None
    assert (kept.state, kept.key) == (FileState.DELETING, None)


def test_concurrent_deletion_has_one_winner(sft: Application, maya: User) -> None:
    """The request that finds the file but loses the race for its state gets FileNotFound."""
    file = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"x"])

    class LostRace:
        def within(self, unit: Any, **_: Any) -> Any:
            assert unit.files.replace(file.deleting(file.created_at), expected=FileState.SEALED)
            return file

    lost_race: Any = LostRace()
    with pytest.raises(FileNotFound):
        attrs.evolve(sft.vault.delete_file, find=lost_race)(owner=maya.id, file_id=file.id)
    assert sft.vault.find_file(owner=maya.id, file_id=file.id) == file


def test_file_is_deleted_once(sft: Application, maya: User) -> None:
    """A second deletion, and one by another user, finds no file."""
    file = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"x"])
    noor = sft.users.register_user(
        email=EmailAddress.parse("noor@example.org"), username=Username.parse("noor"), password=PASSWORD
    )
    with pytest.raises(FileNotFound):
        sft.vault.delete_file(owner=noor.id, file_id=file.id)
    sft.vault.delete_file(owner=maya.id, file_id=file.id)
    with pytest.raises(FileNotFound):
        sft.vault.delete_file(owner=maya.id, file_id=file.id)
    assert is_empty(sft, maya)


# --- sharing -----------------------------------------------------------------------------------


def test_only_the_owner_revokes_a_link(sft: Application, maya: User) -> None:
    """For any other user the link does not exist, like an unknown one."""
    file = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"x"])
    issued = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id)
    noor = sft.users.register_user(
        email=EmailAddress.parse("noor@example.org"), username=Username.parse("noor"), password=PASSWORD
    )
    for token in (issued.token, ShareToken(bytes(32))):
        with pytest.raises(LinkNotFound):
            sft.sharing.revoke_share_link(owner=noor.id, token=token)
    assert sft.sharing.redeem_share_link(token=issued.token) == file
