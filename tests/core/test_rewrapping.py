"""
Secrets brought under another key of the ring, and what crosses the way of that.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.wrapped import MemoryWrappedSecrets
from sft_adapters.testkit.one_time import code_of, step_at
from sft_core.application import Application
from sft_core.errors import InvalidValue, UnknownKey
from sft_core.keys.model import SecretKind, StoredSecret
from sft_core.keys.ports import Rewrapping
from sft_core.keys.use_cases import MAX_PASSES, RewrapSecrets
from sft_core.users.model import User
from sft_core.values import FileName, Secret, WrappedSecret
from sft_core.vault.model import ShareTerms
from support.library import MeanwhileKeyRing, stored

OLD, NEW = Secret(os.urandom(32)), Secret(os.urandom(32))
OLD_ID, NEW_ID = AesKeyRing(OLD).active_id, AesKeyRing(NEW).active_id


def on_the_old_key(sft: Application) -> AesKeyRing:
    ring: Any = sft.begin_upload.keyring
    assert isinstance(ring, AesKeyRing)
    return ring


@pytest.fixture
def secrets(sft: Application) -> MemoryWrappedSecrets:
    database: Any = sft.sign_in.begin
    assert isinstance(database, MemoryDatabase)
    return MemoryWrappedSecrets(database)


@pytest.fixture
def rewrap(sft: Application, secrets: MemoryWrappedSecrets) -> RewrapSecrets:
    return RewrapSecrets(secrets=secrets, keyring=AesKeyRing(NEW, (on_the_old_key(sft).active,)))


@pytest.fixture
def old_id(sft: Application) -> str:
    return on_the_old_key(sft).active_id


def fill(sft: Application, user: User, files: int = 5) -> None:
    for number in range(files):
        file = sft.store_file(owner=user.id, name=FileName.parse(f"{number}.txt"), content=[b"content"])
        sft.issue_share_link(owner=user.id, file_id=file.id)
    sft.set_up_totp(user=stored(sft, user))


def opened_by(ring: AesKeyRing, secrets: MemoryWrappedSecrets) -> int:
    """How many secrets there are that the ring opens; one that does not open is an error."""
    found = [one for kind in SecretKind for one in secrets.under(ring.active_id, kind, after=None, limit=10**6)]
    for one in found:
        ring.unwrap(one.wrapped, purpose=one.kind.value, context=one.context)
    return len(found)


@pytest.mark.parametrize("batch", [1, 2, 5, 1000])
def test_every_secret_comes_under_the_active_key(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str, batch: int
) -> None:
    """In batches of any size; afterwards the new key alone opens all of them, and there is nothing to do."""
    fill(sft, maya)
    done = list(rewrap(key_id=old_id, batch=batch))
    assert sum(one.rewrapped for one in done) == 11
    assert max(one.rewrapped for one in done) <= batch
    assert opened_by(AesKeyRing(NEW), secrets) == 11
    assert list(rewrap(key_id=old_id, batch=batch)) == []


def test_who_stops_anywhere_goes_on_from_there(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str
) -> None:
    """After every batch all secrets open, by the key they name, and the rest is done by beginning again."""
    fill(sft, maya)
    for done in range(1, 12):
        next(rewrap(key_id=old_id, batch=1))
        assert opened_by(AesKeyRing(NEW), secrets) == done
        assert opened_by(on_the_old_key(sft), secrets) == 11 - done
    assert list(rewrap(key_id=old_id, batch=1)) == []


def test_a_dry_run_opens_all_and_changes_nothing(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str
) -> None:
    """It says the same numbers as the run that follows, and names what would not open."""
    fill(sft, maya)
    before = secrets.database._committed
    dry = list(rewrap(key_id=old_id, batch=3, dry_run=True))
    assert secrets.database._committed is before
    assert list(rewrap(key_id=old_id, batch=3)) == dry


def test_what_does_not_open_is_named_and_stays(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str
) -> None:
    """One altered row holds nothing else up."""
    fill(sft, maya)
    (altered, *_) = secrets.under(old_id, SecretKind.LINK_TOKEN, after=None, limit=1)
    spoilt = WrappedSecret(old_id, bytes(40))
    assert secrets.replace([Rewrapping(altered, spoilt)]) == 1
    done = list(rewrap(key_id=old_id, batch=2))
    assert [one for batch in done for one in batch.unopened] == [attrs.evolve(altered, wrapped=spoilt)]
    assert sum(batch.rewrapped for batch in done) == 10
    assert dict(secrets.count()[SecretKind.LINK_TOKEN]) == {old_id: 1, NEW_ID: 4}


def test_a_key_that_the_ring_does_not_hold_is_named(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, old_id: str
) -> None:
    """Nothing is changed."""
    fill(sft, maya)
    before = secrets.database._committed
    with pytest.raises(UnknownKey, match=old_id):
        list(RewrapSecrets(secrets=secrets, keyring=AesKeyRing(NEW))(key_id=old_id, batch=3))
    assert secrets.database._committed is before


def test_nothing_is_brought_from_the_active_key_to_itself(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, old_id: str
) -> None:
    """Who asks for that is told so."""
    fill(sft, maya)
    with pytest.raises(InvalidValue, match="active"):
        next(RewrapSecrets(secrets=secrets, keyring=on_the_old_key(sft))(key_id=old_id, batch=3))


@attrs.frozen
class AlwaysElsewhere(MemoryWrappedSecrets):
    """
    Rows that somebody else is changing whenever one comes to them.
    """

    looks: list[int] = attrs.field(factory=list)

    def replace(self, rewrappings: Sequence[Rewrapping]) -> int:
        self.looks.append(len(rewrappings))
        return 0


def test_what_is_always_changed_by_others_is_given_up_and_not_waited_for(
    sft: Application, maya: User, rewrap: RewrapSecrets, secrets: MemoryWrappedSecrets, old_id: str
) -> None:
    """It is looked for again a few times, and told as passed over."""
    fill(sft, maya)
    busy = AlwaysElsewhere(secrets.database)
    done = list(attrs.evolve(rewrap, secrets=busy)(key_id=old_id, batch=100))
    assert sum(busy.looks) == sum(one.passed_over for one in done) == MAX_PASSES * 11


def test_an_upload_that_began_before_ends_after(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str
) -> None:
    """Its key has come under the new one meanwhile, stays there, and opens the file."""
    upload = sft.begin_upload(owner=maya.id, name=FileName.parse("slow.bin"))
    sft.store_part(upload, b"first")
    assert [batch.rewrapped for batch in rewrap(key_id=old_id, batch=100)] == [1]
    sft.store_part(upload, b" and last")
    file = sft.seal_and_share(upload, terms=ShareTerms())
    assert dict(secrets.count()[SecretKind.FILE_KEY]) == {NEW_ID: 1}
    read = attrs.evolve(sft.read_file, keyring=AesKeyRing(NEW))
    found = sft.find_file(owner=maya.id, file_id=file.id)
    assert b"".join(bytes(piece) for piece in read(found, found.whole)) == b"first and last"


@pytest.mark.parametrize("confirmed", [False, True], ids=["confirm", "disable"])
def test_a_code_counts_while_the_seed_comes_under_another_key(
    sft: Application, clock: SettableClock, maya: User, rewrap: RewrapSecrets, old_id: str, *, confirmed: bool
) -> None:
    """Who confirms or switches off just then notices nothing, and the seed's old wrapping is not stored again."""
    seed = sft.set_up_totp(user=maya).seed.reveal().decode()
    code = code_of(seed, step_at(clock.now()))
    if confirmed:
        sft.confirm_totp(user=stored(sft, maya), code=code)
        code = code_of(seed, step_at(clock.now()) + 1)
    use_case: Any = sft.disable_totp if confirmed else sft.confirm_totp
    spend = sft.sign_in.spend_totp_code
    ring = MeanwhileKeyRing(rewrap.keyring, lambda: list(rewrap(key_id=old_id, batch=10)))
    asked = attrs.evolve(use_case, spend_totp_code=attrs.evolve(spend, keyring=ring))
    asked(user=stored(sft, maya), code=code)
    after = stored(sft, maya)
    assert after.two_factor_enabled is not confirmed
    assert after.totp is None or after.totp.seed.key_id == NEW_ID


def test_a_set_up_is_begun_again_while_the_seed_comes_under_another_key(
    sft: Application, clock: SettableClock, maya: User, rewrap: RewrapSecrets, old_id: str
) -> None:
    """What the user was shown last counts, as always."""
    sft.set_up_totp(user=maya)
    ring = MeanwhileKeyRing(rewrap.keyring, lambda: list(rewrap(key_id=old_id, batch=10)))
    seed = attrs.evolve(sft.set_up_totp, keyring=ring)(user=stored(sft, maya)).seed.reveal().decode()
    spend = attrs.evolve(sft.sign_in.spend_totp_code, keyring=rewrap.keyring)
    confirm = attrs.evolve(sft.confirm_totp, spend_totp_code=spend)
    assert confirm(user=stored(sft, maya), code=code_of(seed, step_at(clock.now()))).two_factor_enabled


def test_a_stored_secret_is_bound_to_its_row(sft: Application, maya: User, secrets: MemoryWrappedSecrets) -> None:
    """Its context is the one that it was wrapped with, for every kind and version."""
    fill(sft, maya, files=1)
    assert opened_by(on_the_old_key(sft), secrets) == 3
    found: list[StoredSecret] = []
    for kind in SecretKind:
        found += secrets.under(on_the_old_key(sft).active_id, kind, after=None, limit=1)
    assert [len(one.context) for one in found] == [24, 16, 16]
    assert attrs.evolve(found[0], version=2).context != found[0].context
