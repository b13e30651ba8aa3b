"""
Uploads on SQL rows: the loser of a race gets the same error on every database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs
import pytest

from sft_adapters.sql.database import SqlDatabase, SqlUnit
from sft_adapters.testkit.contracts.examples import stored_user
from sft_core.errors import UploadAborted
from sft_core.users.model import User
from sft_core.vault.model import MANIFEST_PAGE, VaultPolicy
from sft_core.vault.use_cases import UploadSession
from support.app.vault import Vault, vault_on


@pytest.fixture
def vault(database: SqlDatabase) -> Vault:
    return vault_on(database, VaultPolicy(max_file_size=1 << 30))


@pytest.fixture
def owner(database: SqlDatabase) -> User:
    return stored_user(database)


def sealed(vault: Vault, upload: UploadSession) -> None:
    vault.seal(attrs.evolve(upload, pending=list(upload.pending)))


def aborted(vault: Vault, upload: UploadSession) -> None:
    vault.abort(upload)


@pytest.mark.parametrize("winner", [sealed, aborted])
def test_seal_after_a_lost_race_raises(
    vault: Vault, owner: User, winner: Callable[[Vault, UploadSession], None]
) -> None:
    """The error is UploadAborted, whether the winner sealed or aborted, even with unrecorded parts."""
    upload = vault.begun(owner, b"some bytes")
    winner(vault, upload)
    with pytest.raises(UploadAborted):
        vault.seal(upload)


@pytest.mark.parametrize("recorded", [0, MANIFEST_PAGE - 1], ids=["within a batch", "at its end"])
def test_part_after_an_abort_raises_and_leaves_nothing(vault: Vault, owner: User, recorded: int) -> None:
    """After a concurrent abort the part is refused, and no unreferenced blob remains."""
    upload = vault.begun(owner, *[b"x"] * recorded)
    vault.abort(attrs.evolve(upload))
    with pytest.raises(UploadAborted):
        vault.part(upload, b"late")
    assert vault.keys() == []


@attrs.frozen
class Meanwhile:
    """
    A database that runs a callback just before each change.
    """

    database: SqlDatabase
    happens: Callable[[], None]

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[SqlUnit]:
        if not read_only:
            self.happens()
        with self.database(read_only=read_only) as unit:
            yield unit


def test_abort_before_a_batch_is_recorded_wins(vault: Vault, database: SqlDatabase, owner: User) -> None:
    """An abort between storing a part and recording it wins, and deletes the part."""
    upload = vault.begun(owner, *[b"x"] * (MANIFEST_PAGE - 1))
    part = attrs.evolve(vault.part, begin=Meanwhile(database, lambda: vault.abort(upload)))
    with pytest.raises(UploadAborted):
        part(upload, b"late")
    assert vault.keys() == []
