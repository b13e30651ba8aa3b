"""
Files of one part over HTTP: one commit, with or without an announced size.
"""

from __future__ import annotations

import attrs
import pytest

from sft_adapters.memory.database import MemoryDatabase
from sft_http.concurrency.memory_budgets import MIN_BUFFER_BYTES, MemoryBudget
from support.app.edge import END, Edge, file_part
from support.app.exchange import FORM, send_messages
from support.app.library import CountingDatabase, RowCheckingBlobs

PART = 65_536
PUT = {"Content-Type": "text/plain"}


def database(service: Edge) -> MemoryDatabase:
    begin = service.application.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    return begin


def counted(service: Edge) -> tuple[Edge, CountingDatabase]:
    """
    The same edge, and a counter of the changes that its uploads commit.
    """
    application, begin = service.application, CountingDatabase(database(service))
    part = attrs.evolve(application.vault.store_part, begin=begin)
    watched = service.with_use_cases(
        begin_upload=attrs.evolve(application.vault.begin_upload, begin=begin),
        store_part=part,
        seal_upload=attrs.evolve(application.sharing.seal_upload, begin=begin, store_part=part),
        abort_upload=attrs.evolve(application.vault.abort_upload, begin=begin),
    )
    return watched, begin


@pytest.mark.parametrize("size", [0, 1, 1000, PART - 1000])
@pytest.mark.parametrize("is_announced", [False, True])
def test_small_file_is_stored_in_one_commit(service: Edge, token: str, size: int, *, is_announced: bool) -> None:
    """This holds for PUT and for a form, in one piece or in many."""
    watched, begin = counted(service)
    content = bytes(size)
    form = file_part(content) + END
    pieces = [form[start : start + 400] for start in range(0, len(form), 400)]
    calls = (("PUT", "/files/a.txt", PUT, [content]), ("POST", "/files/upload", FORM, pieces))
    for count, (method, path, headers, body) in enumerate(calls):
        length = sum(map(len, body)) if is_announced else None
        response = send_messages(watched, method, path, token, body, headers=headers, announced=length)
        assert (response.status, response.body["file_size"]) == (201, size)
        assert begin.changes == count + 1


@pytest.mark.parametrize(("announced", "memory"), [(False, 1 << 20), (True, 0)])
def test_intent_row_precedes_a_part_that_others_follow(
    service: Edge, token: str, *, announced: bool, memory: int
) -> None:
    """It precedes a full part of unknown size, and a part that is short for lack of memory."""
    size = 2 * MIN_BUFFER_BYTES
    service.pools.limits = attrs.evolve(service.pools.limits, memory=MemoryBudget(memory))
    part_size = size if announced else PART
    begin_upload = attrs.evolve(service.application.vault.begin_upload, part_size=part_size)
    service = service.with_use_cases(begin_upload=begin_upload)
    blobs = RowCheckingBlobs(service.application.vault.store_part.blobs, database(service))
    service = service.with_use_cases(store_part=attrs.evolve(service.application.vault.store_part, blobs=blobs))
    pieces = [bytes(1024)] * (size // 1024)

    response = send_messages(
        service, "PUT", "/files/a.txt", token, pieces, headers=PUT, announced=size if announced else None
    )
    assert (response.status, response.body["file_size"]) == (201, size)
    assert blobs.known == [True, True]


@pytest.mark.parametrize("received", [1, PART - 1, PART + 1])
def test_interrupted_put_of_unknown_size_leaves_nothing(service: Edge, token: str, received: int) -> None:
    """After the client has disconnected, neither a row nor a part remains."""
    response = send_messages(service, "PUT", "/files/a.txt", token, [bytes(received)], disconnects=True, headers=PUT)
    assert response.status == 400
    assert service.is_empty()
