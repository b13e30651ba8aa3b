"""
Re-wrapping of secrets under another key of the ring, and concurrent requests during it.
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
from sft_core.vault.use_cases.resumable import CreateUpload, UploadRequest
from support.app.library import HookedKeyRing, stored
from support.app.resumable import keys

OLD, NEW = Secret(os.urandom(32)), Secret(os.urandom(32))
OLD_ID, NEW_ID = AesKeyRing(OLD).active_id, AesKeyRing(NEW).active_id


def old_ring(sft: Application) -> AesKeyRing:
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
    return RewrapSecrets(secrets=secrets, keyring=AesKeyRing(NEW, (old_ring(sft).active,)))


@pytest.fixture
def old_id(sft: Application) -> str:
    return old_ring(sft).active_id


def fill(sft: Application, user: User, files: int = 5) -> None:
    for number in range(files):
        file = sft.vault.store_file(owner=user.id, name=FileName.parse(f"{number}.txt"), content=[b"content"])
        sft.sharing.issue_share_link(owner=user.id, file_id=file.id)
    sft.users.set_up_totp(user=stored(sft, user))


def count_unwrapped(ring: AesKeyRing, secrets: MemoryWrappedSecrets) -> int:
    """Count the secrets under the ring's active key, each of which must unwrap."""
    found = [one for kind in SecretKind for one in secrets.under(ring.active_id, kind, after=None, limit=10**6)]
    for one in found:
        ring.unwrap(one.wrapped, purpose=one.kind.value, context=one.context)
    return len(found)


@pytest.mark.parametrize("batch", [1, 2, 5, 1000])
def test_every_secret_is_rewrapped_under_the_active_key(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str, batch: int
) -> None:
    """With any batch size the new key alone unwraps every secret afterwards, and nothing is left to do."""
    fill(sft, maya)
    done = list(rewrap(key_id=old_id, batch=batch))
    assert sum(one.rewrapped for one in done) == 11
    assert max(one.rewrapped for one in done) <= batch
    assert count_unwrapped(AesKeyRing(NEW), secrets) == 11
    assert list(rewrap(key_id=old_id, batch=batch)) == []


def test_interrupted_rewrapping_continues(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str
) -> None:
    """After every batch each secret unwraps under the key it names, and a new run continues with the rest."""
    fill(sft, maya)
    for done in range(1, 12):
        next(rewrap(key_id=old_id, batch=1))
        assert count_unwrapped(AesKeyRing(NEW), secrets) == done
        assert count_unwrapped(old_ring(sft), secrets) == 11 - done
    assert list(rewrap(key_id=old_id, batch=1)) == []


def test_dry_run_unwraps_all_and_changes_nothing(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str
) -> None:
    """Its counts equal those of the run that follows, and it names what would not unwrap."""
    fill(sft, maya)
    before = secrets.database._committed
    dry = list(rewrap(key_id=old_id, batch=3, dry_run=True))
    assert secrets.database._committed is before
    assert list(rewrap(key_id=old_id, batch=3)) == dry


def test_undecryptable_secret_is_reported_and_kept(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str
) -> None:
    """An altered row is reported and stays; all others are re-wrapped."""
    fill(sft, maya)
    (altered, *_) = secrets.under(old_id, SecretKind.LINK_TOKEN, after=None, limit=1)
    spoilt = WrappedSecret(old_id, bytes(40))
    assert secrets.replace([Rewrapping(altered, spoilt)]) == 1
    done = list(rewrap(key_id=old_id, batch=2))
    assert [one for batch in done for one in batch.undecryptable] == [attrs.evolve(altered, wrapped=spoilt)]
    assert sum(batch.rewrapped for batch in done) == 10
    assert dict(secrets.count()[SecretKind.LINK_TOKEN]) == {old_id: 1, NEW_ID: 4}


def test_key_missing_from_the_ring_is_named(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, old_id: str
) -> None:
    """The error names the key, and nothing changes."""
    fill(sft, maya)
    before = secrets.database._committed
    with pytest.raises(UnknownKey, match=old_id):
        list(RewrapSecrets(secrets=secrets, keyring=AesKeyRing(NEW))(key_id=old_id, batch=3))
    assert secrets.database._committed is before


def test_rewrapping_from_the_active_key_is_refused(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, old_id: str
) -> None:
    """Re-wrapping from the active key to itself raises InvalidValue."""
    fill(sft, maya)
    with pytest.raises(InvalidValue, match="active"):
        next(RewrapSecrets(secrets=secrets, keyring=old_ring(sft))(key_id=old_id, batch=3))


@attrs.frozen
class AlwaysChanged(MemoryWrappedSecrets):
    """
    Rows that another process changes whenever they are to be replaced.
    """

    looks: list[int] = attrs.field(factory=list)

    def replace(self, rewrappings: Sequence[Rewrapping]) -> int:
        self.looks.append(len(rewrappings))
        return 0


def test_constantly_changed_secret_is_skipped(
    sft: Application, maya: User, rewrap: RewrapSecrets, secrets: MemoryWrappedSecrets, old_id: str
) -> None:
    """Such rows are retried a limited number of times and then counted as skipped."""
    fill(sft, maya)
    busy = AlwaysChanged(secrets.database)
    done = list(attrs.evolve(rewrap, secrets=busy)(key_id=old_id, batch=100))
    assert sum(busy.looks) == sum(one.skipped for one in done) == MAX_PASSES * 11


def test_upload_in_progress_survives_rewrapping(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str
) -> None:
    """Its key is re-wrapped during the upload, stays under the new key, and opens the file."""
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
def test_totp_code_is_accepted_while_its_seed_is_rewrapped(
    sft: Application, clock: SettableClock, maya: User, rewrap: RewrapSecrets, old_id: str, *, confirmed: bool
) -> None:
    """Confirming or disabling TOTP at that moment succeeds, and the old wrapping of the seed is not stored again."""
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


def test_totp_set_up_restarts_while_its_seed_is_rewrapped(
    sft: Application, clock: SettableClock, maya: User, rewrap: RewrapSecrets, old_id: str
) -> None:
    """The seed shown last is the one that counts."""
    sft.users.set_up_totp(user=maya)
    ring = HookedKeyRing(rewrap.keyring, lambda: list(rewrap(key_id=old_id, batch=10)))
    seed = attrs.evolve(sft.users.set_up_totp, keyring=ring)(user=stored(sft, maya)).seed.reveal().decode()
    spend = attrs.evolve(sft.users.sign_in.spend_totp_code, keyring=rewrap.keyring)
    confirm = attrs.evolve(sft.users.confirm_totp, spend_totp_code=spend)
    assert confirm(user=stored(sft, maya), code=code_of(seed, step_at(clock.now()))).two_factor_enabled


def test_stored_secret_is_bound_to_its_row(sft: Application, maya: User, secrets: MemoryWrappedSecrets) -> None:
    """The context of every kind and version equals the one that the secret was wrapped with."""
    fill(sft, maya, files=1)
    assert count_unwrapped(old_ring(sft), secrets) == 3
    found: list[StoredSecret] = []
    for kind in SecretKind:
        found += secrets.under(old_ring(sft).active_id, kind, after=None, limit=1)
    assert [len(one.context) for one in found] == [24, 16, 16]
    assert attrs.evolve(found[0], version=2).context != found[0].context


# --- a key that is retired concurrently ---------------------------------------------------------


@attrs.define
class StaleRing:
    """
    A key ring that uses the key's successor only after it has wrapped `times` secrets.
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
    A ring whose active key has already been retired.
    """
    assert secrets.retire(old_id)
    assert isinstance(rewrap.keyring, AesKeyRing)
    return StaleRing(old_ring(sft), rewrap.keyring)


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
    create = CreateUpload(begin_upload=attrs.evolve(sft.vault.begin_upload, keyring=ring))
    return create(owner=maya.id, request=asked)


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


def key_ids_in_use(secrets: MemoryWrappedSecrets) -> set[str]:
    return {key for keys in secrets.count().values() for key in keys}


@pytest.mark.parametrize("add", ADDITIONS)
def test_secret_under_a_retired_key_is_wrapped_again(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, stale: StaleRing, add: Add
) -> None:
    """The request succeeds, and no row needs the retired key."""
    add(sft, maya, stale)
    assert key_ids_in_use(secrets) == {NEW_ID}
    assert count_unwrapped(AesKeyRing(NEW), secrets) == 1


def sealing_and_issuing(
    sft: Application, stale: StaleRing, *, is_file_stale: bool
) -> tuple[SealUpload, IssueShareLink]:
    """
    The use cases that seal a file and issue its link, one of which wraps under a key that has been retired.
    """
    rule = attrs.evolve(sft.sharing.seal_upload.seal, keyring=stale if is_file_stale else stale.after)
    issue = attrs.evolve(sft.sharing.issue_share_link, keyring=stale.after if is_file_stale else stale)
    return attrs.evolve(sft.sharing.seal_upload, seal=rule, issue=issue), issue


@pytest.mark.parametrize("is_file_stale", [True, False])
def test_link_token_under_a_retired_key_is_wrapped_again(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, stale: StaleRing, *, is_file_stale: bool
) -> None:
    """The link is issued alone, and in one commit with its file, where either secret may be the refused one."""
    seal, issue = sealing_and_issuing(sft, stale, is_file_stale=is_file_stale)
    upload = sft.vault.begin_upload(owner=maya.id, name=FileName.parse("a"), announced_size=1)
    file = seal(upload, public=True).file
    stale.times = 1
    attrs.evolve(issue, keyring=stale)(owner=maya.id, file_id=file.id)
    assert key_ids_in_use(secrets) == {NEW_ID}
    assert count_unwrapped(AesKeyRing(NEW), secrets) == 3


@pytest.mark.parametrize("is_file_stale", [True, False])
def test_idempotent_link_under_a_retired_key_is_wrapped_again(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, stale: StaleRing, *, is_file_stale: bool
) -> None:
    """Alone or in one commit with its file, the recorded result equals what was finally stored."""
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
    assert key_ids_in_use(secrets) == {NEW_ID}
    assert count_unwrapped(AesKeyRing(NEW), secrets) == 3


def test_file_without_a_usable_key_leaves_no_part(sft: Application, maya: User, stale: StaleRing) -> None:
    """A small file's key is wrapped after its part is stored, so a failed wrap deletes the part."""
    stale.times = 9
    with pytest.raises(KeyRetired):
        a_small_file(sft, maya, stale)
    assert keys(sft) == set()


@pytest.mark.parametrize("add", ADDITIONS)
def test_ring_with_only_a_retired_key_stores_nothing(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, stale: StaleRing, add: Add
) -> None:
    """The error is KeyRetired, which is temporary."""
    stale.times = 9
    with pytest.raises(KeyRetired):
        add(sft, maya, stale)
    assert key_ids_in_use(secrets) == set()


def test_secret_stored_during_rewrapping_is_rewrapped(
    sft: Application, maya: User, secrets: MemoryWrappedSecrets, rewrap: RewrapSecrets, old_id: str
) -> None:
    """Secrets that the service stores during the re-wrapping are re-wrapped as well."""
    fill(sft, maya)
    done = rewrap(key_id=old_id, batch=100)
    next(done)
    sft.vault.store_file(owner=maya.id, name=FileName.parse("late.txt"), content=[b"late"])
    assert sum(batch.rewrapped for batch in done) == 11 - 5 + 1
    assert key_ids_in_use(secrets) == {NEW_ID}
