"""
Uploads beyond the store's free capacity are refused before they begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_adapters.memory.database import MemoryDatabase, MemoryUnit
from sft_core.errors import BlobStoreFull, QuotaExceeded
from sft_core.values import FileName
from sft_core.vault.use_cases.resumable import CreateUpload
from support.app.library import LIGHT, register
from support.app.resumable import asked

NAME = FileName.parse("large.bin")


class CapacityOfAHundred:
    """
    A store with a hundred bytes of free capacity.
    """

    def require_bytes(self, size: int) -> None:
        if size > 100:
            raise BlobStoreFull


@attrs.define
class OpenUnits:
    """
    A database that counts its open units of work.
    """

    database: MemoryDatabase
    count: int = 0

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        with self.database(read_only=read_only) as unit:
            self.count += 1
            try:
                yield unit
            finally:
                self.count -= 1


@attrs.define
class SlowCapacityCheck:
    """
    A slow capacity check, during which no unit of work may be open.
    """

    database: OpenUnits
    sizes: list[int] = attrs.field(factory=list)

    def require_bytes(self, size: int) -> None:
        assert self.database.count == 0
        self.sizes.append(size)


@pytest.mark.parametrize("resumable", [False, True])
def test_blocking_capacity_check_holds_no_transaction(*, resumable: bool) -> None:
    """A network file system that does not respond must not hold row locks, so the check precedes the transaction."""
    sft = memory_application(environ=LIGHT | {"USER_QUOTA": "1000"})
    maya = register(sft, "maya")
    assert isinstance(sft.vault.find_file.begin, MemoryDatabase)
    database = OpenUnits(sft.vault.find_file.begin)
    capacity_check = SlowCapacityCheck(database)
    begin = attrs.evolve(sft.vault.begin_upload, begin=database, capacity=capacity_check, part_size=16)
    if resumable:
        CreateUpload(begin_upload=begin)(owner=maya.id, request=asked(100))
    else:
        begin(owner=maya.id, name=NAME, announced_size=100)
    assert capacity_check.sizes == [100]


@pytest.mark.parametrize("resumable", [False, True])
def test_upload_beyond_the_capacity_never_begins(*, resumable: bool) -> None:
    """No row and no quota remains; if the quota is exceeded as well, that error is raised."""
    sft = memory_application(environ=LIGHT | {"USER_QUOTA": "1000"})
    maya = register(sft, "maya")
    begin = attrs.evolve(sft.vault.begin_upload, capacity=CapacityOfAHundred(), part_size=16)
    create = CreateUpload(begin_upload=begin)

    def attempt(size: int) -> object:
        if resumable:
            return create(owner=maya.id, request=asked(size))
        return begin(owner=maya.id, name=NAME, announced_size=size)

    attempt(100)
    with pytest.raises(BlobStoreFull):
        attempt(101)
    with pytest.raises(QuotaExceeded):
        attempt(1001)
    database = sft.vault.find_file.begin
    assert isinstance(database, MemoryDatabase)
    assert len(database.snapshot().files) == 1
    assert database.snapshot().usages[maya.id] == 100
