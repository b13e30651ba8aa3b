"""
Secrets brought under another key of the ring, and what crosses the way of that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest

from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.wrapped_secrets import MemoryWrappedSecrets
from sft_adapters.testkit.one_time import code_of, step_at
from sft_core.application import Application
from sft_core.errors import InvalidValue, KeyRetired, UnknownKey
from sft_core.keys.model import SecretKind, StoredSecret
from sft_core.keys.ports import Rewrapping
from sft_core.keys.use_cases import MAX_PASSES, RewrapSecrets
from sft_core.sharing.idempotency import IdempotencyKey, IdempotentRequest
from sft_core.sharing.use_cases import IssueShareLink, SealUpload
from sft_core.users.model import User
from sft_core.values import OCTET_STREAM, FileName, Secret, WrappedSecret
from sft_core.vault.use_cases.resumable import UploadRequest
from support.app.library import HookedKeyRing, stored
from support.app.resumable import keys

OLD, NEW = Secret(os.urandom(32)), Secret(os.urandom(32))
OLD_ID, NEW_ID = AesKeyRing(OLD).active_id, AesKeyRing(NEW).active_id


def on_the_old_key(sft: Application) -> AesKeyRing:
    ring: Any = sft.vault.begin_upload.keyring
    assert isinstance(ring, AesKeyRing)
    return ring


@pytest.fixture
def secrets(sft: Application) -> MemoryWrappedSecrets:
    database: Any = sft.users.sign_in.begin
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
        file = sft.vault.store_file(owner=user.id, name=FileName.parse(f"{number}.txt"), content=[b"content"])
        sft.sharing.issue_share_link(owner=user.id, file_id=file.id)
    sft.users.set_up_totp(user=stored(sft, user))


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
    assert [one for batch in done for one in batch.undecryptable] == [attrs.evolve(altered, wrapped=spoilt)]
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
    assert sum(busy.looks) == sum(one.skipped for one in done) == MAX_PASSES * 11


def test_an_upload_that_began_before_ends_after(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str
) -> None:
    """Its key has come under the new one meanwhile, stays there, and opens the file."""
    upload = sft.vault.begin_upload(owner=maya.id, name=FileName.parse("slow.bin"))
    sft.vault.store_part(upload, b"first")
    assert [batch.rewrapped for batch in rewrap(key_id=old_id, batch=100)] == [1]
    sft.vault.store_part(upload, b" and last")
    file = sft.sharing.seal_upload(upload, public=True).file
    assert dict(secrets.count()[SecretKind.FILE_KEY]) == {NEW_ID: 1}
    read = attrs.evolve(sft.vault.read_file, keyring=AesKeyRing(NEW))
    found = sft.vault.find_file(owner=maya.id, file_id=file.id)
    assert b"".join(bytes(piece) for piece in read(found, found.whole)) == b"first and last"


@pytest.mark.parametrize("confirmed", [False, True], ids=["confirm", "disable"])
def test_a_code_counts_while_the_seed_comes_under_another_key(
    sft: Application, clock: SettableClock, maya: User, rewrap: RewrapSecrets, old_id: str, *, confirmed: bool
) -> None:
    """Who confirms or switches off just then notices nothing, and the seed's old wrapping is not stored again."""
    seed = sft.users.set_up_totp(user=maya).seed.reveal().decode()
    code = code_of(seed, step_at(clock.now()))
    if confirmed:
        sft.users.confirm_totp(user=stored(sft, maya), code=code)
        code = code_of(seed, step_at(clock.now()) + 1)
    use_case: Any = sft.users.disable_totp if confirmed else sft.users.confirm_totp
    spend = sft.users.sign_in.spend_totp_code
    ring = HookedKeyRing(rewrap.keyring, lambda: list(rewrap(key_id=old_id, batch=10)))
    asked = attrs.evolve(use_case, spend_totp_code=attrs.evolve(spend, keyring=ring))
    asked(user=stored(sft, maya), code=code)
    after = stored(sft, maya)
    assert after.two_factor_enabled is not confirmed
    assert after.totp is None or after.totp.seed.key_id == NEW_ID


def test_a_set_up_is_begun_again_while_the_seed_comes_under_another_key(
    sft: Application, clock: SettableClock, maya: User, rewrap: RewrapSecrets, old_id: str
) -> None:
    """What the user was shown last counts, as always."""
    sft.users.set_up_totp(user=maya)
    ring = HookedKeyRing(rewrap.keyring, lambda: list(rewrap(key_id=old_id, batch=10)))
    seed = attrs.evolve(sft.users.set_up_totp, keyring=ring)(user=stored(sft, maya)).seed.reveal().decode()
    spend = attrs.evolve(sft.users.sign_in.spend_totp_code, keyring=rewrap.keyring)
    confirm = attrs.evolve(sft.users.confirm_totp, spend_totp_code=spend)
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


# --- a key that is retired meanwhile ------------------------------------------------------------


@attrs.define
class StaleRing:
    """
    A key ring that learns of the key's successor only after it has wrapped something `times` times.
    """

    before: AesKeyRing
    after: AesKeyRing
    times: int = 1

    def wrap(self, secret: Secret, *, purpose: str, context: bytes) -> WrappedSecret:
        self.times -= 1
        ring = self.before if self.times >= 0 else self.after
        return ring.wrap(secret, purpose=purpose, context=context)

    def unwrap(self, wrapped: WrappedSecret, *, purpose: str, context: bytes) -> Secret:
        return self.after.unwrap(wrapped, purpose=purpose, context=context)


@pytest.fixture
def stale(sft: Application, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str) -> StaleRing:
    """
    A ring whose key is retired already.
    """
    assert secrets.retire(old_id)
    assert isinstance(rewrap.keyring, AesKeyRing)
    return StaleRing(on_the_old_key(sft), rewrap.keyring)


Add = Callable[[Application, User, StaleRing], object]


def a_small_file(sft: Application, maya: User, ring: StaleRing) -> object:
    seal = attrs.evolve(sft.vault.store_file.seal, keyring=ring)
    return attrs.evolve(sft.vault.store_file, seal=seal)(owner=maya.id, name=FileName.parse("a"), content=[b"x"])


def a_long_file(sft: Application, maya: User, ring: StaleRing) -> object:
    return attrs.evolve(sft.vault.begin_upload, keyring=ring)(owner=maya.id, name=FileName.parse("a"))


def a_file_longer_than_announced(sft: Application, maya: User, ring: StaleRing) -> object:
    upload = sft.vault.begin_upload(owner=maya.id, name=FileName.parse("a"), announced_size=1)
    part = attrs.evolve(sft.vault.store_part, keyring=ring)
    part(upload, b"one")
    part(upload, b"two")
    assert upload.is_persisted
    return upload


def a_resumable_file(sft: Application, maya: User, ring: StaleRing) -> object:
    asked = UploadRequest(name=FileName.parse("a"), media_type=OCTET_STREAM)
    return attrs.evolve(sft.vault.create_upload, keyring=ring)(owner=maya.id, request=asked)


def request(key: str) -> IdempotentRequest:
    parsed = IdempotencyKey.parse(key)
    return IdempotentRequest(key=parsed, fingerprint=parsed.fingerprint())


def a_small_file_made_once(sft: Application, maya: User, ring: StaleRing) -> object:
    seal = attrs.evolve(sft.sharing.seal_upload.seal, keyring=ring)
    upload = sft.vault.begin_upload(owner=maya.id, name=FileName.parse("a"), announced_size=1)
    return attrs.evolve(sft.sharing.seal_upload, seal=seal)(upload, idempotency=request("file"))


def a_seed(sft: Application, maya: User, ring: StaleRing) -> object:
    return attrs.evolve(sft.users.set_up_totp, keyring=ring)(user=maya)


ADDITIONS: list[Add] = [
    *(a_small_file, a_long_file, a_file_longer_than_announced, a_resumable_file),
    *(a_small_file_made_once, a_seed),
]


def stored_under(secrets: MemoryWrappedSecrets) -> set[str]:
    return {key for keys in secrets.count().values() for key in keys}


@pytest.mark.parametrize("add", ADDITIONS)
def test_what_was_wrapped_under_a_key_that_was_retired_then_is_wrapped_again(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, stale: StaleRing, add: Add
) -> None:
    """Whoever stores it notices nothing, and no row needs the retired key."""
    add(sft, maya, stale)
    assert stored_under(secrets) == {NEW_ID}
    assert opened_by(AesKeyRing(NEW), secrets) == 1


def sealing_and_issuing(
    sft: Application, stale: StaleRing, *, is_file_stale: bool
) -> tuple[SealUpload, IssueShareLink]:
    """
    What makes a file and what makes its link, of which one wraps under a key that is retired by then.
    """
    rule = attrs.evolve(sft.sharing.seal_upload.seal, keyring=stale if is_file_stale else stale.after)
    issue = attrs.evolve(sft.sharing.issue_share_link, keyring=stale.after if is_file_stale else stale)
    return attrs.evolve(sft.sharing.seal_upload, seal=rule, issue=issue), issue


@pytest.mark.parametrize("is_file_stale", [True, False])
def test_a_link_is_wrapped_again_too(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, stale: StaleRing, *, is_file_stale: bool
) -> None:
    """Alone, and in one commit with its file, of whose two secrets either may be the one that is refused."""
    seal, issue = sealing_and_issuing(sft, stale, is_file_stale=is_file_stale)
    upload = sft.vault.begin_upload(owner=maya.id, name=FileName.parse("a"), announced_size=1)
    file = seal(upload, public=True).file
    stale.times = 1
    attrs.evolve(issue, keyring=stale)(owner=maya.id, file_id=file.id)
    assert stored_under(secrets) == {NEW_ID}
    assert opened_by(AesKeyRing(NEW), secrets) == 3


@pytest.mark.parametrize("is_file_stale", [True, False])
def test_a_link_that_is_made_once_is_wrapped_again_too(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, stale: StaleRing, *, is_file_stale: bool
) -> None:
    """Alone, and in one commit with its file; what is kept for the next time is what was stored in the end."""
    seal, issue = sealing_and_issuing(sft, stale, is_file_stale=is_file_stale)
    upload = sft.vault.begin_upload(owner=maya.id, name=FileName.parse("a"), announced_size=1)
    made = seal(upload, public=True, idempotency=request("file"))
    find = attrs.evolve(sft.sharing.find_idempotent_result, keyring=stale)
    assert find(owner=maya.id, request=request("file")) == made
    stale.times = 1
    issued = attrs.evolve(issue, keyring=stale)(owner=maya.id, file_id=made.file.id, idempotency=request("link"))
    found = find(owner=maya.id, request=request("link"))
    assert found is not None
    assert found.issued == issued
    assert stored_under(secrets) == {NEW_ID}
    assert opened_by(AesKeyRing(NEW), secrets) == 3


def test_a_file_that_no_key_is_left_for_leaves_no_part(sft: Application, maya: User, stale: StaleRing) -> None:
    """A small file's key is wrapped when its part is stored already; what is stored of it is removed."""
    stale.times = 9
    with pytest.raises(KeyRetired):
        a_small_file(sft, maya, stale)
    assert keys(sft) == set()


@pytest.mark.parametrize("add", ADDITIONS)
def test_who_knows_a_retired_key_only_stores_nothing(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, stale: StaleRing, add: Add
) -> None:
    """It is told so, as something that may go by."""
    stale.times = 9
    with pytest.raises(KeyRetired):
        add(sft, maya, stale)
    assert stored_under(secrets) == set()


def test_what_comes_while_a_key_is_rotated_is_looked_for_again(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str
) -> None:
    """A service was about to store something: nothing is left all the same."""
    fill(sft, maya)
    done = rewrap(key_id=old_id, batch=100)
    next(done)
    sft.vault.store_file(owner=maya.id, name=FileName.parse("late.txt"), content=[b"late"])
    assert sum(batch.rewrapped for batch in done) == 11 - 5 + 1
    assert stored_under(secrets) == {NEW_ID}
