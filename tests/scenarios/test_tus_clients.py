"""
Resumable uploads by the programs that people use, each broken off and gone on with.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tusclient.client import TusClient

from support.clients.tus import RawTusClient, TusJs, random_file, tus_js
from support.clients.wire import connected, send
from support.faults.proxy import relay
from support.servers.service import Service
from support.waiting import eventually

MIB = 1 << 20
SIZE = 9 * MIB + 12_345
SLOW = 0.005
"""Seconds that each 64 KiB take on a slow line."""


@pytest.fixture(scope="session")
def js(pytestconfig: pytest.Config) -> TusJs:
    return tus_js(pytestconfig.cache.mkdir("tus-js"))


@pytest.fixture
def maya(service: Service, request: pytest.FixtureRequest) -> RawTusClient:
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    return RawTusClient(service, service.sign_up(f"t{name}"))


@contextmanager
def breaking_line(service: Service) -> Iterator[str]:
    """
    A slow line to the service, by its URL: once a part is stored its connections break, and it is fast from then on.
    """
    before = service.stored()
    with relay("127.0.0.1", service.port) as line, ThreadPoolExecutor(1) as threads:
        line.delay_seconds = SLOW

        def cut() -> None:
            eventually(lambda: service.stored() != before)
            line.delay_seconds = 0
            line.cut()

        cutting = threads.submit(cut)
        yield f"http://127.0.0.1:{line.port}"
        cutting.result()


def python(service: Service, maya: RawTusClient, content: bytes, *, at: str = "", **options: Any) -> Any:
    """
    An upload by tuspy, by another URL than the service's own if one is given.
    """
    client = TusClient(f"{at or service.url}{service.api}/tus", headers={"Authorization": f"Bearer {maya.token}"})
    return client.uploader(file_stream=io.BytesIO(content), metadata={"filename": "by tuspy.bin"}, **options)


@pytest.mark.parametrize("chunk", [3 * MIB, 600_000])
def test_tuspy_goes_on_with_what_it_began(service: Service, maya: RawTusClient, tmp_path: Path, chunk: int) -> None:
    """A second program asks how far the first one came, and sends the rest with checksums."""
    content = random_file(tmp_path / "file", SIZE)
    first = python(service, maya, content, chunk_size=chunk)
    first.upload(stop_at=4 * MIB)
    second = python(service, maya, content, chunk_size=chunk, url=first.url, upload_checksum=True)
    assert second.offset == first.offset >= 4 * MIB
    second.upload()
    assert maya.content(first.url.rpartition("/")[2]) == content


def test_tuspy_goes_on_when_its_line_breaks(service: Service, maya: RawTusClient, tmp_path: Path) -> None:
    """In the middle of its only request: it asks how far that came, and sends the rest."""
    content = random_file(tmp_path / "file", SIZE)
    told: list[int] = []
    with breaking_line(service) as at:
        uploader = python(service, maya, content, at=at, retries=20, retry_delay=0.1)
        ask = uploader.get_offset

        def asked() -> int:
            told.append(ask())
            return told[-1]

        uploader.get_offset = asked
        uploader.upload()
    assert told
    assert all(0 < offset < SIZE for offset in told)
    assert maya.content(uploader.url.rpartition("/")[2]) == content


def test_tuspy_asks_again_when_its_offset_is_wrong(service: Service, maya: RawTusClient, tmp_path: Path) -> None:
    """It is told 409, asks, and goes on from there."""
    content = random_file(tmp_path / "file", MIB)
    uploader = python(service, maya, content, chunk_size=MIB // 2, retries=1, retry_delay=0)
    uploader.upload(stop_at=MIB // 2)
    uploader.offset = 0
    uploader.upload()
    assert maya.content(uploader.url.rpartition("/")[2]) == content


@pytest.mark.parametrize("chunk", [1_000_003, None])
def test_tus_js_goes_on_with_what_it_began(
    service: Service, maya: RawTusClient, js: TusJs, tmp_path: Path, chunk: int | None
) -> None:
    """Broken off between two requests or in the middle of the only one, a second program has the rest to send."""
    file = tmp_path / "file"
    content = random_file(file, SIZE)
    if chunk is None:
        # One request for everything, of which a part and a half come.
        url = maya.create(len(content))
        cut(maya, url, content, 6 * MIB)
    else:
        url = js(service, maya.token, file, chunkSize=chunk, stopAt=4 * MIB)["url"]
    upload = url.removeprefix(service.url)
    assert 4 * MIB <= maya.offset(upload) < SIZE
    told = js(service, maya.token, file, url=service.url + upload, chunkSize=chunk)
    assert told["file"] == upload.rpartition("/")[2]
    assert maya.content(told["file"]) == content


def test_tus_js_goes_on_when_its_line_breaks(service: Service, maya: RawTusClient, js: TusJs, tmp_path: Path) -> None:
    """In the middle of its only request: it asks how far that came, and sends the rest."""
    file = tmp_path / "file"
    content = random_file(file, SIZE)
    with breaking_line(service) as at:
        told = js(service, maya.token, file, endpoint=f"{at}{service.api}/tus", retryDelays=[100] * 20)
    first, *others = told["offsets"]
    assert first == 0
    assert others
    assert all(0 < offset < SIZE for offset in others)
    assert maya.content(told["file"]) == content


def cut(maya: RawTusClient, upload: str, content: bytes, came: int) -> None:
    """
    Announce everything, send some of it, and leave.
    """
    with connected(maya.service.port) as connection:
        send(connection, "PATCH", upload, maya.headers(Upload_Offset="0"), len(content))
        connection.sendall(content[:came])
    eventually(lambda: maya.offset(upload) == came)


@pytest.mark.parametrize("options", [{"parallelUploads": 3}, {"deferred": True, "chunkSize": MIB}])
def test_tus_js_uploads_in_pieces_and_of_open_length(
    service: Service, maya: RawTusClient, js: TusJs, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Three partial uploads that are put together, or a stream whose end is not known yet: the file is whole."""
    file = tmp_path / "file"
    content = random_file(file, SIZE)
    told = js(service, maya.token, file, **options)
    assert maya.content(told["file"]) == content
    listed = service.call("GET", "/files/", token=maya.token).json()
    assert [each["original_filename"] for each in listed] == ["by tus-js.bin"]
