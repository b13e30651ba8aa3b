"""
Uploads for which the store has no room: they are refused before they begin.
"""

from __future__ import annotations

import attrs
import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_adapters.memory.database import MemoryDatabase
from sft_core.errors import BlobStoreFull, QuotaExceeded
from sft_core.values import FileName
from support.library import LIGHT, register
from support.resumable import asked

NAME = FileName.parse("large.bin")


class RoomForAHundred:
    """
    A store that can take a hundred bytes more.
    """

    def admit_bytes(self, size: int) -> None:
        if size > 100:
            raise BlobStoreFull


@pytest.mark.parametrize("resumable", [False, True])
def test_an_upload_for_which_there_is_no_room_never_begins(*, resumable: bool) -> None:
    """Neither a row nor quota is left of it; where the quota refuses it as well, that is what is told."""
    sft = memory_application(environ=LIGHT | {"USER_QUOTA": "1000"})
    maya = register(sft, "maya")
    begin = attrs.evolve(sft.begin_upload, room=RoomForAHundred(), part_size=16)
    create = attrs.evolve(sft.create_upload, room=RoomForAHundred())

    def attempt(size: int) -> object:
        if resumable:
            return create(owner=maya.id, asked=asked(size))
        return begin(owner=maya.id, name=NAME, announced_size=size)

    attempt(100)
    with pytest.raises(BlobStoreFull):
        attempt(101)
    with pytest.raises(QuotaExceeded):
        attempt(1001)
    database = sft.find_file.begin
    assert isinstance(database, MemoryDatabase)
    assert len(database._committed.files) == 1
    assert database._committed.usages[maya.id] == 100
