"""
Uploads over real rows: who loses a race is told the same on every database.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from sft_adapters.crypto.content import ChunkedCipher
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.system import SystemClock, SystemEntropy, Uuid7Ids
from sft_adapters.testkit.contracts.examples import stored_user
from sft_core.errors import UploadAborted
from sft_core.users.model import User
from sft_core.values import FileName, Secret
from sft_core.vault.model import VaultPolicy
from sft_core.vault.use_cases import AbortUpload, BeginUpload, SealUpload, StorePart, Upload

NAME = FileName.parse("raced.bin")


@attrs.frozen
class Vault:
    """
    The steps of an upload on one database, with blobs in memory.
    """

    begin: BeginUpload
    part: StorePart
    seal: SealUpload
    abort: AbortUpload

    def begun(self, owner: User, *parts: bytes) -> Upload:
        upload = self.begin(owner=owner.id, name=NAME)
        for part in parts:
            self.part(upload, part)
        return upload


def vault_on(database: SqlDatabase, policy: VaultPolicy) -> Vault:
    blobs, entropy = MemoryBlobs(), SystemEntropy()
    clock = SystemClock()
    part = StorePart(begin=database, entropy=entropy, cipher=ChunkedCipher(entropy), blobs=blobs, policy=policy)
    return Vault(
        begin=BeginUpload(
            begin=database,
            ids=Uuid7Ids(clock, entropy),
            clock=clock,
            entropy=entropy,
            keyring=AesKeyRing(Secret(bytes(32))),
            policy=policy,
        ),
        part=part,
        seal=SealUpload(begin=database, store_part=part),
        abort=AbortUpload(begin=database, blobs=blobs),
    )


@pytest.fixture
def vault(database: SqlDatabase) -> Vault:
    return vault_on(database, VaultPolicy(max_file_size=1 << 30))


@pytest.fixture
def owner(database: SqlDatabase) -> User:
    return stored_user(database)


def sealed(vault: Vault, upload: Upload) -> None:
    vault.seal(attrs.evolve(upload, unrecorded=list(upload.unrecorded)))


def aborted(vault: Vault, upload: Upload) -> None:
    vault.abort(upload)


@pytest.mark.parametrize("winner", [sealed, aborted])
def test_who_loses_the_race_for_a_seal_is_told_so(
    vault: Vault, owner: User, winner: Callable[[Vault, Upload], None]
) -> None:
    """Whether it was sealed or aborted, and though its parts are not recorded yet: the upload was aborted."""
    upload = vault.begun(owner, b"some bytes")
    winner(vault, upload)
    with pytest.raises(UploadAborted):
        vault.seal(upload)
