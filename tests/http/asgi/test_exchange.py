"""
Exchanges message by message: bodies without a length, interrupted downloads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pytest

from sft_core.values import FileId
from sft_core.vault.ports import BlobStore
from support.app.edge import END, Edge, file_part
from support.app.exchange import send_messages

LIMIT = 100_000
PIECE = b"z" * 65_536
PIECES = 40


@pytest.fixture
def small(make_edge: Callable[..., Edge]) -> Edge:
    return make_edge(MAX_FILE_SIZE=str(LIMIT))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"\r\n" + file_part(b"x") + END),
        (file_part(b"x") + END, b""),
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n', b"\r\n" + END),
        (file_part(b"x") + b'--b\r\nContent-Disposition: form-data; name="is_public"\r\n\r\n', b"\r\n" + END),
    ],
    ids=["prologue", "epilogue", "file", "field"],
)
def test_body_without_a_length_is_limited_everywhere(small: Edge, before: bytes, after: bytes) -> None:
    """An excess before, in or after the parts of a form is rejected long before the body ends; nothing is left."""
    exchange = send_messages(small, "POST", "/files/upload", small.sign_up(), [before, *[PIECE] * PIECES, after])
    assert exchange.status in {413, 422}
    assert exchange.received_bytes <= LIMIT + (64 << 10) + 4 * len(PIECE)
    assert small.is_empty()


@pytest.mark.parametrize("content", [b"", b"x", bytes(LIMIT)])
def test_body_without_a_length_is_stored_completely(small: Edge, content: bytes) -> None:
    """Any file up to the limit is accepted if its form has its closing boundary."""
    form = file_part(content) + END
    pieces = [form[start : start + 1000] for start in range(0, len(form), 1000)]
    assert send_messages(small, "POST", "/files/upload", small.sign_up(), pieces).status == 201


def test_interrupted_download_is_logged(service: Edge, token: str, caplog: pytest.LogCaptureFixture) -> None:
    """If a later part is missing the response is left unfinished, and the log has its id and the reason."""
    file = service.store(token, bytes(3 * 65_536))
    caplog.set_level(logging.INFO, logger="sft")
    path = f"/files/{file['id']}/download"
    assert send_messages(service, "GET", path, token).status == 200
    blobs = service.application.vault.store_part.blobs
    *_, last = sorted(info.key for info in blobs.list())
    blobs.delete(last)
    last_message = send_messages(service, "GET", path, token).messages[-1]
    assert last_message.get("more_body") is True
    (record,) = [record for record in caplog.records if record.name == "sft.edge"]
    logged = record.__dict__["fields"]
    assert (record.levelname, logged["code"]) == ("ERROR", "content-missing")
    finished, interrupted = [record.__dict__["fields"] for record in caplog.records if record.name == "sft.access"]
    assert (finished["status"], finished["complete"], finished["bytes"]) == (200, True, 3 * 65_536)
    assert (interrupted["status"], interrupted["complete"]) == (200, False)
    assert interrupted["bytes"] < 3 * 65_536
    assert interrupted["request_id"] == logged["request_id"]


@attrs.frozen
class DeletedMeanwhile:
    """
    A blob store from which a file is deleted just before one of its parts is read.
    """

    _blobs: BlobStore
    _key: str
    _delete: Callable[[], object]

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        if key == self._key:
            self._delete()
        self._blobs.read_into(key, start, buffer, size=size)


def test_download_of_a_deleted_file_is_not_logged_as_an_error(
    service: Edge, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The response is left unfinished all the same, and the log reports it at level INFO."""
    file = service.store(token, bytes(3 * 65_536))
    path, application = f"/files/{file['id']}", service.application
    *_, last = sorted(info.key for info in application.vault.store_part.blobs.list())
    with application.vault.find_file.begin(read_only=True) as unit:
        stored = unit.files.get(FileId.parse(file["id"]))
    assert stored is not None
    delete = partial(application.vault.delete_file, owner=stored.owner, file_id=stored.id)
    blobs: Any = DeletedMeanwhile(application.vault.read_file.blobs, last, delete)
    caplog.set_level(logging.INFO, logger="sft")
    edge = service.with_use_cases(read_file=attrs.evolve(application.vault.read_file, blobs=blobs))
    last_message = send_messages(edge, "GET", f"{path}/download", token).messages[-1]
    assert last_message.get("more_body") is True
    (logged,) = [record for record in caplog.records if record.name == "sft.edge"]
    assert (logged.levelname, logged.__dict__["fields"]["code"]) == ("INFO", "file-not-found")
    assert service.call("GET", path, token=token).status_code == 404
