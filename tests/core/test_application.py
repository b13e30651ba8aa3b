"""
Use cases at their edges: races that are lost, rows that are gone, uploads that end early.
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
    begun = sft.vault.begin_upload(owner=owner.id, name=NAME)
    for part in parts:
        sft.vault.store_part(begun, part)
    return begun


# --- users -------------------------------------------------------------------------------------


@attrs.frozen
class Meanwhile:
    """
    A hasher that lets something happen while a password is verified.
    """

    hasher: Any
    happens: Any

    def verify(self, password: Password, hashed: str) -> None:
        self.hasher.verify(password, hashed)
        self.happens()


def deactivated(sft: Application, user: User) -> None:
    with sft.users.sign_in.begin() as unit:
        unit.users.save(attrs.evolve(user, is_active=False))
        unit.commit()


def test_an_account_that_is_switched_off_meanwhile_is_not_signed_in(sft: Application, maya: User) -> None:
    """Between the password and the session the account is looked at once more, where it is stored."""
    hasher: Any = Meanwhile(sft.users.sign_in.hasher, lambda: deactivated(sft, maya))
    sign_in = attrs.evolve(sft.users.sign_in, hasher=hasher)
    with pytest.raises(InactiveUser):
        sign_in(email=EMAIL, password=PASSWORD)


def test_a_code_that_is_spent_meanwhile_signs_nobody_in(sft: Application, maya: User, clock: SettableClock) -> None:
    """Of two sign-ins with one code the second one is refused, though both found it unspent."""
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


def test_a_token_of_a_session_that_is_not_kept_is_refused(clock: SettableClock) -> None:
    """A well-signed token whose session or user another store has is nobody's."""
    ours, theirs = memory_application(clock, LIGHT), memory_application(clock, LIGHT)
    theirs.users.register_user(email=EMAIL, username=Username.parse("maya"), password=PASSWORD)
    tokens = theirs.users.sign_in(email=EMAIL, password=PASSWORD)
    unknown_session = attrs.evolve(theirs.users.authenticate.verify, sessions=ours.users.authenticate.verify.sessions)
    unknown_user = attrs.evolve(theirs.users.authenticate.verify, begin=ours.users.authenticate.verify.begin)
    for verify in (unknown_session, unknown_user):
        with pytest.raises(BadToken):
            attrs.evolve(theirs.users.authenticate, verify=verify)(access_token=tokens.access)


def test_a_code_that_is_spent_already_is_told_at_once(sft: Application, maya: User, clock: SettableClock) -> None:
    """A second use of a code is refused before anything is stored."""
    seed = sft.users.set_up_totp(user=maya).seed.reveal().decode()
    code = code_of(seed, step_at(clock.now()))
    user = sft.users.authenticate(access_token=sft.users.sign_in(email=EMAIL, password=PASSWORD).access).user
    confirmed = sft.users.confirm_totp(user=user, code=code)
    with pytest.raises(BadTotpCode):
        sft.users.disable_totp(user=confirmed, code=code)
    with pytest.raises(BadTotpCode):
        sft.users.sign_in(email=EMAIL, password=PASSWORD, totp_code=code)


def test_too_many_attempts_tell_when_to_come_again() -> None:
    """The wait is part of the error, in whole seconds."""
    assert TooManyAttempts(17).retry_after == 17


# --- vault -------------------------------------------------------------------------------------


def test_a_long_manifest_is_recorded_in_batches(sft: Application, maya: User) -> None:
    """After each 64 parts the manifest is stored, and the file comes back whole."""
    parts = [bytes([number]) * 3 for number in range(2 * MANIFEST_PAGE + 5)]
    begun = upload(sft, maya, *parts[:MANIFEST_PAGE])
    assert begun.pending == []
    for part in parts[MANIFEST_PAGE:]:
        sft.vault.store_part(begun, part)
    file = sft.sharing.seal_upload(begun).file
    assert b"".join(map(bytes, sft.vault.read_file(file))) == b"".join(parts)


def test_an_upload_that_was_aborted_cannot_be_sealed(sft: Application, maya: User) -> None:
    """The abort has won: nothing is left, and sealing is told so."""
    begun = upload(sft, maya, b"some bytes")
    sft.vault.abort_upload(begun)
    with pytest.raises(UploadAborted):
        sft.sharing.seal_upload(begun)
    assert is_empty(sft, maya)


def test_a_sealed_file_cannot_be_aborted(sft: Application, maya: User) -> None:
    """The seal has won: the abort does nothing, and the file stays whole."""
    begun = upload(sft, maya, b"some bytes")
    file = sft.sharing.seal_upload(begun).file
    sft.vault.abort_upload(begun)
    assert b"".join(map(bytes, sft.vault.read_file(file))) == b"some bytes"


def test_an_upload_whose_parts_are_not_all_recorded_is_not_sealed(sft: Application, maya: User) -> None:
    """What the manifest holds is compared with what was received, before the file is there."""
    begun = upload(sft, maya, b"some bytes", b"more bytes")
    begun.pending.pop()
    with pytest.raises(UploadIncomplete):
        sft.sharing.seal_upload(begun)
    assert sft.vault.list_files(owner=maya.id, page=Page()) == ()


def test_content_that_raises_leaves_nothing(sft: Application, maya: User) -> None:
    """The caller's own error comes out, and neither row nor part stays."""

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
def test_what_the_policy_does_not_admit_leaves_nothing(environ: dict[str, str], error: type[Exception]) -> None:
    """Too many bytes, also if nobody announced them, and other extensions are refused."""
    sft = memory_application(environ=LIGHT | environ)
    maya = sft.users.register_user(email=EMAIL, username=Username.parse("maya"), password=PASSWORD)
    with pytest.raises(error):
        sft.vault.store_file(owner=maya.id, name=NAME, content=[bytes(60_000), bytes(40_000)])
    assert is_empty(sft, maya)


def test_a_file_that_is_condemned_cannot_be_read(sft: Application, maya: User) -> None:
    """Its key is gone, whoever still holds the entity."""
    file = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"x"])
    with pytest.raises(FileNotFound):
        sft.vault.read_file(file.deleting(file.created_at))


def test_a_manifest_with_a_gap_is_not_read_over(sft: Application, maya: User) -> None:
    """A lost row, or a file that is deleted while it is read, ends in an error and never in a short content."""
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
class OutOfReach:
    """
    A store that cannot be reached just now.
    """

    def list(self, prefix: str = "") -> Iterator[Any]:
        raise BlobStoreUnavailable(prefix)


def test_a_file_is_gone_though_its_parts_cannot_be_removed(sft: Application, maya: User) -> None:
    """Its key has been destroyed; the row stays, deleting, for the next sweep."""
    file = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"x"])
    out_of_reach: Any = OutOfReach()
    attrs.evolve(sft.vault.delete_file, blobs=out_of_reach)(owner=maya.id, file_id=file.id)
    with pytest.raises(FileNotFound):
        sft.vault.find_file(owner=maya.id, file_id=file.id)
    with sft.vault.delete_file.begin(read_only=True) as unit:
        kept = unit.files.get(file.id)
    assert kept is not None
    assert (kept.state, kept.key) == (FileState.DELETING, None)


def test_of_two_that_delete_one_wins(sft: Application, maya: User) -> None:
    """Who finds the file and loses the race for its state is told that it is not there."""
    file = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"x"])

    class Overtaken:
        def within(self, unit: Any, **_: Any) -> Any:
            assert unit.files.replace(file.deleting(file.created_at), expected=FileState.SEALED)
            return file

    overtaken: Any = Overtaken()
    with pytest.raises(FileNotFound):
        attrs.evolve(sft.vault.delete_file, find=overtaken)(owner=maya.id, file_id=file.id)
    assert sft.vault.find_file(owner=maya.id, file_id=file.id) == file


def test_a_file_is_deleted_once(sft: Application, maya: User) -> None:
    """A second delete finds nothing, and neither does anybody else's."""
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


def test_only_the_owner_withdraws_a_link(sft: Application, maya: User) -> None:
    """For anybody else it is a link that does not exist, as is an unknown one."""
    file = sft.vault.store_file(owner=maya.id, name=NAME, content=[b"x"])
    issued = sft.sharing.issue_share_link(owner=maya.id, file_id=file.id)
    noor = sft.users.register_user(
        email=EmailAddress.parse("noor@example.org"), username=Username.parse("noor"), password=PASSWORD
    )
    for token in (issued.token, ShareToken(bytes(32))):
        with pytest.raises(LinkNotFound):
            sft.sharing.revoke_share_link(owner=noor.id, token=token)
    assert sft.sharing.redeem_share_link(token=issued.token) == file
