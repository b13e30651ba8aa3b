"""
The contract of `sft_core.keys.ports.WrappedSecrets`.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait
from uuid import uuid4

import attrs
import pytest

from sft_adapters.testkit.contracts.examples import NOW, Database, a_file, a_link, race, stored_file, stored_user
from sft_core.errors import Conflict, KeyRetired
from sft_core.keys.model import SecretKind, StoredSecret
from sft_core.keys.ports import Rewrapping, WrappedSecrets
from sft_core.sharing.model import ShareLink
from sft_core.users.model import Totp, User
from sft_core.values import FileId, UserId, WrappedSecret
from sft_core.vault.model import File, FileState

OLD, NEW = "key-1", "key-2"


@attrs.frozen
class _Stored:
    """
    A user with a seed, a file with a key, a link with a token.
    """

    user: User
    file: File
    link: ShareLink

    def seen(self, kind: SecretKind) -> WrappedSecret | None:
        """
        Return the stored secret of a kind.
        """
        if kind is SecretKind.FILE_KEY:
            return self.file.key
        if kind is SecretKind.LINK_TOKEN:
            return self.link.token
        return self.user.totp.seed if self.user.totp else None


def _one_of_each(database: Database, **changes: object) -> _Stored:
    file = stored_file(database, 10, version=7, **changes)
    link = a_link(file)
    with database() as unit:
        unit.links.add(link)
        unit.commit()
    return _load(database, file.owner, file.id, link.token_digest)


def _load(database: Database, owner: UserId, file_id: FileId, token_digest: bytes) -> _Stored:
    with database(read_only=True) as unit:
        user, file, link = unit.users.get(owner), unit.files.get(file_id), unit.links.find(token_digest)
    assert user is not None
    assert file is not None
    assert link is not None
    return _Stored(user, file, link)


def _reload(database: Database, stored: _Stored) -> _Stored:
    return _load(database, stored.user.id, stored.file.id, stored.link.token_digest)


def _under_old(wrapped: WrappedSecrets, kind: SecretKind) -> list[StoredSecret]:
    return list(wrapped.under(OLD, kind, after=None, limit=1000))


def _rewrapped(read: StoredSecret) -> Rewrapping:
    return Rewrapping(read, WrappedSecret(NEW, os.urandom(40)))


def _rewrap_only_one(wrapped: WrappedSecrets, kind: SecretKind) -> Rewrapping:
    (read,) = _under_old(wrapped, kind)
    return _rewrapped(read)


class WrappedSecretsContract:
    """
    Contract suite of `WrappedSecrets`: compare-and-set of wrappings, and retirement of keys.

    An adapter passes if it replaces a wrapping only if it is still stored as read, no other write restores an
    old wrapping, and no secret is ever stored under a retired key.

    Fixtures:
        wrapped: The wrapped secrets.
        database: The units of work over the same rows, new and empty.
    """

    def test_count_groups_secrets_by_kind_and_key(self, database: Database, wrapped: WrappedSecrets) -> None:
        """Files in any state count; files without a key, links without a token and users without a seed do not."""
        assert {kind: dict(wrapped.count()[kind]) for kind in SecretKind} == {kind: {} for kind in SecretKind}
        _one_of_each(database)
        _one_of_each(database, key=WrappedSecret(NEW, os.urandom(40)))
        _one_of_each(database, key=None, state=FileState.DELETING)
        _one_of_each(database, state=FileState.RECEIVING)
        bare = a_file(stored_user(database, totp=None), key=None, state=FileState.DELETING)
        with database() as unit:
            unit.files.add(bare)
            unit.links.add(a_link(bare, token=None))
            unit.commit()
        counted = {kind: dict(wrapped.count()[kind]) for kind in SecretKind}
        assert counted == {
            SecretKind.FILE_KEY: {OLD: 2, NEW: 1},
            SecretKind.LINK_TOKEN: {OLD: 4},
            SecretKind.TOTP_SEED: {OLD: 4},
        }

    @pytest.mark.parametrize("kind", SecretKind)
    def test_under_returns_row_version_and_wrapping(
        self, database: Database, wrapped: WrappedSecrets, kind: SecretKind
    ) -> None:
        """Row id, version and wrapping are returned as stored; secrets under another key are omitted."""
        stored = _one_of_each(database)
        (found,) = _under_old(wrapped, kind)
        row = {
            SecretKind.FILE_KEY: stored.file.id.value,
            SecretKind.LINK_TOKEN: stored.link.id.value,
            SecretKind.TOTP_SEED: stored.user.id.value,
        }[kind]
        assert (found.kind, found.id, found.wrapped) == (kind, row, stored.seen(kind))
        assert found.version == (7 if kind is SecretKind.FILE_KEY else 1)
        assert list(wrapped.under(NEW, kind, after=None, limit=1000)) == []

    @pytest.mark.parametrize("kind", SecretKind)
    def test_under_pages_skip_none(self, database: Database, wrapped: WrappedSecrets, kind: SecretKind) -> None:
        """Pages of any length return every secret once, in the order of row ids."""
        for _ in range(5):
            _one_of_each(database)
        whole = _under_old(wrapped, kind)
        assert [one.id for one in whole] == sorted({one.id for one in whole})
        assert len(whole) == 5
        for limit in (1, 2, 5):
            found: list[StoredSecret] = []
            while step := wrapped.under(OLD, kind, after=found[-1].id if found else None, limit=limit):
                assert len(step) <= limit
                found += step
            assert found == whole

    @pytest.mark.parametrize("kind", SecretKind)
    def test_replace_changes_the_wrapping_only(
        self, database: Database, wrapped: WrappedSecrets, kind: SecretKind
    ) -> None:
        """Only the secret changes, and for a user also the revision."""
        stored, bystander = _one_of_each(database), _one_of_each(database)
        change = _rewrapped(next(one for one in _under_old(wrapped, kind) if one.wrapped == stored.seen(kind)))
        assert wrapped.replace([change]) == 1
        after = _reload(database, stored)
        assert after.seen(kind) == change.new
        assert after.file == attrs.evolve(stored.file, key=after.file.key)
        assert after.link == attrs.evolve(stored.link, token=after.link.token)
        assert after.user == attrs.evolve(stored.user, totp=after.user.totp, revision=after.user.revision)
        assert after.user.totp is not None
        assert stored.user.totp is not None
        assert after.user.totp == attrs.evolve(stored.user.totp, seed=after.user.totp.seed)
        assert [after.seen(other) == stored.seen(other) for other in SecretKind].count(True) == 2
        assert _reload(database, bystander) == bystander

    def test_replace_accepts_many_of_any_kind(self, database: Database, wrapped: WrappedSecrets) -> None:
        """All of them are replaced in one call; an empty list is no error."""
        for _ in range(3):
            _one_of_each(database)
        changes = [_rewrapped(one) for kind in SecretKind for one in _under_old(wrapped, kind)]
        assert wrapped.replace(changes) == 9
        assert {kind: dict(wrapped.count()[kind]) for kind in SecretKind} == {kind: {NEW: 3} for kind in SecretKind}
        assert wrapped.replace([]) == 0

    @pytest.mark.parametrize("kind", SecretKind)
    def test_replace_of_a_changed_secret_is_skipped(
        self, database: Database, wrapped: WrappedSecrets, kind: SecretKind
    ) -> None:
        """If two callers read the same wrapping, the second replaces nothing."""
        stored = _one_of_each(database)
        first, second = _rewrap_only_one(wrapped, kind), _rewrap_only_one(wrapped, kind)
        assert wrapped.replace([first]) == 1
        assert wrapped.replace([second]) == 0
        assert _reload(database, stored).seen(kind) == first.new

    def test_replace_restores_no_deleted_secret(self, database: Database, wrapped: WrappedSecrets) -> None:
        """A destroyed key, a disabled second factor and a removed row are not restored."""
        stored = _one_of_each(database)
        changes = [_rewrap_only_one(wrapped, kind) for kind in SecretKind]
        with database() as unit:
            assert unit.files.replace(stored.file.deleting(NOW), expected=stored.file.state)
            unit.users.save(attrs.evolve(stored.user, totp=None))
            unit.commit()
        assert wrapped.replace([change for change in changes if change.stored.kind is not SecretKind.LINK_TOKEN]) == 0
        after = _reload(database, stored)
        assert after.seen(SecretKind.FILE_KEY) is after.seen(SecretKind.TOTP_SEED) is None
        with database() as unit:
            unit.files.remove(stored.file.id)
            unit.commit()
        assert wrapped.replace(changes) == 0
        with database(read_only=True) as unit:
            assert unit.links.find(stored.link.token_digest) is None
            assert unit.files.get(stored.file.id) is None

    def test_save_of_an_earlier_read_is_conflict(self, database: Database, wrapped: WrappedSecrets) -> None:
        """Saving a user read before the replacement raises `Conflict`, regardless of the changed field."""
        stored = _one_of_each(database)
        change = _rewrap_only_one(wrapped, SecretKind.TOTP_SEED)
        wrapped.replace([change])
        with pytest.raises(Conflict), database() as unit:
            unit.users.save(attrs.evolve(stored.user, is_verified=True))
        assert _reload(database, stored).seen(SecretKind.TOTP_SEED) == change.new

    def test_seal_of_an_earlier_read_keeps_the_new_wrapping(self, database: Database, wrapped: WrappedSecrets) -> None:
        """A file read before the replacement can be sealed, and its old wrapping is not stored again."""
        stored = _one_of_each(database, state=FileState.RECEIVING)
        change = _rewrap_only_one(wrapped, SecretKind.FILE_KEY)
        wrapped.replace([change])
        sealed = stored.file.sealed(size=10, terms=stored.file.terms)
        with database() as unit:
            assert unit.files.replace(sealed, expected=FileState.RECEIVING)
            unit.commit()
        assert _reload(database, stored).file == attrs.evolve(sealed, key=change.new)

    def test_concurrent_replaces_count_each_secret_once(self, database: Database, wrapped: WrappedSecrets) -> None:
        """Twelve concurrent calls replace no secret twice; a later call replaces the skipped ones."""
        stored = [_one_of_each(database) for _ in range(2)]
        found = [one for kind in SecretKind for one in _under_old(wrapped, kind)]
        assert sum(race(lambda: wrapped.replace([_rewrapped(one) for one in found]))) <= len(found)
        left = [one for kind in SecretKind for one in _under_old(wrapped, kind)]
        assert wrapped.replace([_rewrapped(one) for one in left]) == len(left)
        assert all(_reload(database, one).seen(kind) != one.seen(kind) for one in stored for kind in SecretKind)

    def test_replace_of_unknown_rows_is_skipped(self, database: Database, wrapped: WrappedSecrets) -> None:
        """Replacing a secret whose row does not exist creates nothing."""
        stored = _one_of_each(database)
        strange = [attrs.evolve(_rewrap_only_one(wrapped, kind).stored, id=uuid4()) for kind in SecretKind]
        assert wrapped.replace([_rewrapped(one) for one in strange]) == 0
        assert _reload(database, stored) == stored

    def test_retired_key_is_refused_in_every_write(self, database: Database, wrapped: WrappedSecrets) -> None:
        """A file, link, seed or new wrapping under a retired key is refused; other changes still succeed."""
        stored = _one_of_each(database, key=WrappedSecret(NEW, os.urandom(40)))
        changes = [_rewrapped(one) for kind in SecretKind for one in _under_old(wrapped, kind)]
        assert not wrapped.retire(OLD), "a link and a seed need it"
        assert wrapped.replace(changes) == 2
        assert [wrapped.retire(OLD), wrapped.retire(OLD)] == [True, True]
        stored, late = _reload(database, stored), WrappedSecret(OLD, os.urandom(40))
        with pytest.raises(KeyRetired), database() as unit:
            unit.files.add(a_file(stored.user, key=late))
        with pytest.raises(KeyRetired), database() as unit:
            unit.links.add(attrs.evolve(a_link(stored.file), token=late))
        with pytest.raises(KeyRetired), database() as unit:
            unit.users.save(attrs.evolve(stored.user, totp=Totp(late, confirmed=False)))
        (own,) = wrapped.under(NEW, SecretKind.FILE_KEY, after=None, limit=2)
        with pytest.raises(KeyRetired):
            wrapped.replace([Rewrapping(own, late)])
        assert {kind: dict(wrapped.count()[kind]) for kind in SecretKind} == {kind: {NEW: 1} for kind in SecretKind}
        with database() as unit:
            unit.files.add(a_file(stored.user, key=WrappedSecret(NEW, os.urandom(40))))
            unit.users.save(attrs.evolve(stored.user, is_verified=True))
            unit.commit()

    def test_refused_retirement_leaves_the_key_usable(self, database: Database, wrapped: WrappedSecrets) -> None:
        """If a secret needs the key, secrets under it can still be stored and their users saved."""
        stored = _one_of_each(database)
        assert not wrapped.retire(OLD)
        with database() as unit:
            unit.users.save(attrs.evolve(stored.user, is_verified=True))
            unit.commit()
        _one_of_each(database)
        assert wrapped.count()[SecretKind.FILE_KEY] == {OLD: 2}

    def test_retire_waits_for_uncommitted_secrets(self, database: Database, wrapped: WrappedSecrets) -> None:
        """With an uncommitted file under the key, the key is not retired."""
        owner = stored_user(database, totp=None)
        late = a_file(owner)
        with ThreadPoolExecutor(1) as pool:
            with database() as unit:
                unit.files.add(late)
                retiring = pool.submit(wrapped.retire, OLD)
                # The call has to wait for this unit; otherwise it would have ended within the timeout.
                wait([retiring], timeout=0.3)
                unit.commit()
            assert not retiring.result()
        with database(read_only=True) as unit:
            assert unit.files.get(late.id) == late
