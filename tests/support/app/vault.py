"""
The steps of an upload on a real database, for tests that need no other part of the application.
"""

from __future__ import annotations

import attrs

from sft_adapters.crypto.content import ChunkedCipher
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.memory.capacity import UnknownCapacity
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.system import SystemClock, SystemEntropy, Uuid7Generator
from sft_core.users.model import User
from sft_core.values import FileName, Secret
from sft_core.vault.model import File, ShareTerms, VaultPolicy
from sft_core.vault.ports import BlobStore
from sft_core.vault.use_cases import (
    AbortUpload,
    BeginUpload,
    ReadFile,
    SealWithinUnit,
    StoreFile,
    StorePart,
    UploadSession,
)

NAME = FileName.parse("raced.bin")


@attrs.frozen
class Vault:
    """
    The steps of an upload on one database, with blobs in memory.
    """

    begin: BeginUpload
    part: StorePart
    seal_within_unit: SealWithinUnit
    abort: AbortUpload

    def in_parts_of(self, size: int) -> StoreFile:
        begin = attrs.evolve(self.begin, part_size=size)
        return StoreFile(
            begin=self.part.begin,
            begin_upload=begin,
            store_part=self.part,
            seal=self.seal_within_unit,
            abort=self.abort,
        )

    def seal(self, upload: UploadSession) -> File:
        with self.part.begin() as unit:
            file = self.seal_within_unit(unit, upload, terms=ShareTerms())
            unit.commit()
        return file

    def begun(self, owner: User, *parts: bytes) -> UploadSession:
        upload = self.begin(owner=owner.id, name=NAME)
        for part in parts:
            self.part(upload, part)
        return upload

    def keys(self) -> list[str]:
        return [blob.key for blob in self.part.blobs.list()]


def vault_on(database: SqlDatabase, policy: VaultPolicy, blobs: BlobStore | None = None) -> Vault:
    blobs, entropy = MemoryBlobs() if blobs is None else blobs, SystemEntropy()
    clock, keyring, cipher = SystemClock(), AesKeyRing(Secret(bytes(32))), ChunkedCipher(entropy)
    part = StorePart(
        begin=database,
        clock=clock,
        entropy=entropy,
        keyring=keyring,
        cipher=cipher,
        blobs=blobs,
        policy=policy,
        read=ReadFile(begin=database, keyring=keyring, cipher=cipher, blobs=blobs),
    )
    return Vault(
        begin=BeginUpload(
            begin=database,
            ids=Uuid7Generator(clock, entropy),
            clock=clock,
            entropy=entropy,
            keyring=keyring,
            policy=policy,
            capacity=UnknownCapacity(),
            part_size=0,
        ),
        part=part,
        seal_within_unit=SealWithinUnit(keyring=keyring, policy=policy),
        abort=AbortUpload(begin=database, clock=clock, blobs=blobs),
    )
