"""
A vault of one owner on a blob store under test, and the conditions that hold regardless of failures.

The rows are in memory: a committed change is durable, and any other is lost. The blobs are in the store under test.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

import attrs
from dependency_injector import providers

from sft_adapters.bootstrap.container import Container
from sft_adapters.memory.capacity import UnknownCapacity
from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.rate_limiter import MemoryRateLimiter
from sft_adapters.memory.sessions import MemorySessions
from sft_adapters.memory.tables import Tables
from sft_adapters.settings import Settings
from sft_adapters.testkit.contracts.examples import a_user
from sft_core.application import Application
from sft_core.errors import SftError
from sft_core.maintenance.sweep import SweepResult
from sft_core.users.model import User
from sft_core.values import FileId, FileName, Page
from sft_core.vault.model import FileState
from sft_core.vault.ports import Buffer, IdentifiedBlobStore
from support.app.library import DelegatingBlobs
from support.app.resumable import PART, in_small_parts
from support.app.use_cases import with_use_cases

NAME: Final = FileName.parse("notes.txt")
NOISE_KEY: Final = f"{'0' * 31}1/1-00000000-0123456789abcdef"


@attrs.define
class VerifiedBlobs(DelegatingBlobs):
    """
    A blob store that keeps a copy of each put: only that content may be listed under its key.
    """

    put_content: dict[str, bytes] = attrs.field(factory=dict, init=False)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        self.put_content[key] = b"".join(map(bytes, pieces))
        super().put(key, iter([self.put_content[key]]), size=size)

    def check(self) -> None:
        """
        Assert that every listed blob is complete.
        """
        for blob in list(self.list()):
            content = bytearray(blob.size)
            self.read_into(blob.key, 0, memoryview(content), size=blob.size)
            assert content == self.put_content[blob.key], f"blob {blob.key} is not what was put"


@attrs.define
class VaultUnderTest:
    """
    A vault of one owner, with the contents acknowledged to the owner and those submitted by them.
    """

    sft: Application
    database: MemoryDatabase
    blobs: VerifiedBlobs
    clock: SettableClock
    owner: User
    acknowledged: dict[FileId, bytes] = attrs.field(factory=dict)
    being_deleted: set[FileId] = attrs.field(factory=set)
    submitted: set[bytes] = attrs.field(factory=set)
    mark: str = attrs.field(factory=lambda: uuid4().hex, init=False)

    def reset(self) -> None:
        """
        Reset the vault to an owner with one file.
        """
        self.database._committed = Tables()
        self.clock._now = datetime.now(UTC)
        self.owner = attrs.evolve(a_user(), totp=None, created_at=self.clock.now())
        with self.database() as unit:
            unit.users.add(self.owner)
            unit.store_identity.set_store_id(self.mark)
            unit.commit()
        self.blobs.set_store_id(self.mark)
        self.acknowledged, self.being_deleted, self.submitted = {}, set(), set()
        self.store(os.urandom(20))

    def store(self, content: bytes) -> FileId:
        """
        Store a file; once the call returns, the file is acknowledged.
        """
        self.submitted.add(content)
        announced = len(content) if len(content) < PART else None
        file = self.sft.vault.store_file(owner=self.owner.id, name=NAME, content=[content], announced_size=announced)
        self.acknowledged[file.id] = content
        return file.id

    def delete(self, file: FileId) -> None:
        """
        Delete a file; until the call returns, the file may exist or not.
        """
        self.being_deleted.add(file)
        content = self.acknowledged.pop(file, None)
        if content is not None:
            self.submitted.add(content)
        self.sft.vault.delete_file(owner=self.owner.id, file_id=file)
        self.being_deleted.discard(file)

    def check(self) -> None:
        """
        Assert that acknowledged files exist, that others were submitted, and that the quotas are right.
        """
        listed = self._listed()
        assert listed >= self.acknowledged.keys(), "an acknowledged file is missing"
        for file in listed:
            content = self._read(file)
            assert content == self.acknowledged[file] if file in self.acknowledged else content in self.submitted
        with self.database(read_only=True) as unit:
            assert list(unit.quota_audit.drifts()) == []
        self.blobs.check()

    def contents(self) -> list[bytes]:
        """
        Return the contents of the owner's files.
        """
        return [self._read(file) for file in self._listed()]

    def _listed(self) -> set[FileId]:
        return {file.id for file in self.sft.vault.list_files(owner=self.owner.id, page=Page())}

    def _read(self, file: FileId) -> bytes:
        try:
            found = self.sft.vault.find_file(owner=self.owner.id, file_id=file)
            return b"".join(map(bytes, self.sft.vault.read_file(found)))
        except SftError as error:
            raise AssertionError("a listed file cannot be read") from error

    def sweep_and_check(self) -> None:
        """
        Assert that a sweep after every grace period keeps exactly the stored files.
        """
        self.clock.advance(days=30)
        swept = self.sft.maintenance.sweep()
        assert (dict(swept.failures), swept.is_complete) == ({}, True)
        self.check()
        tables = self.database.snapshot()
        assert {file.state for file in tables.files.values()} <= {FileState.SEALED}
        recorded = {part.blob_key for parts in tables.parts.values() for part in parts}
        assert {blob.key for blob in self.blobs.list()} == recorded, "blobs and rows do not agree"
        with self.database(read_only=True) as unit:
            assert unit.quotas.used(self.owner.id) == sum(file.size for file in tables.files.values())
        assert self.sft.maintenance.sweep() == SweepResult()


def vault_under_test(
    make: Callable[[SettableClock], IdentifiedBlobStore], database: MemoryDatabase | None = None
) -> VaultUnderTest:
    """
    Build the library on rows in memory and on this store, with parts of 16 bytes.
    """
    clock = SettableClock(datetime.now(UTC))
    store = make(clock)
    blobs = VerifiedBlobs(store)
    keys = {"SECRET_KEY": os.urandom(32).hex(), "ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}
    container = Container(settings=Settings.from_env(keys, data_dir=Path("/nonexistent")))
    database = MemoryDatabase() if database is None else database
    adapters = {"begin": database, "sessions": MemorySessions(), "limiter": MemoryRateLimiter(), "blobs": blobs}
    adapters |= {"clock": clock, "capacity": UnknownCapacity()}
    adapters["expiring"] = [store] if hasattr(store, "delete_expired") else []
    for name, adapter in adapters.items():
        getattr(container, name).override(providers.Object(adapter))
    sft = in_small_parts(container.application())
    begin = attrs.evolve(sft.vault.begin_upload, part_size=PART)
    sft = with_use_cases(sft, begin_upload=begin, store_file=attrs.evolve(sft.vault.store_file, begin_upload=begin))
    return VaultUnderTest(sft=sft, database=database, blobs=blobs, clock=clock, owner=a_user())
