"""
Interrupted and resumed uploads by tuspy and tus-js-client.
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

from support.proxy import relay
from support.service import Service
from support.tus import RawTusClient, TusJs, random_file, tus_js
from support.waiting import eventually
from support.wire import connected, send

MIB = 1 << 20
SIZE = 9 * MIB + 12_345
SLOW = 0.005
"""Delay of each 64 KiB in seconds on a slow connection."""


@pytest.fixture(scope="session")
def js(pytestconfig: pytest.Config) -> TusJs:
    return tus_js(pytestconfig.cache.mkdir("tus-js"))


@pytest.fixture
def maya(service: Service, request: pytest.FixtureRequest) -> RawTusClient:
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    return RawTusClient(service, service.sign_up(f"t{name}"))


@contextmanager
def interrupted_proxy(service: Service) -> Iterator[str]:
    """
    The URL of a slow proxy that closes its connections once, after the first stored part, and is fast from then on.
    """
    before = service.stored()
    with relay("127.0.0.1", service.port) as line, ThreadPoolExecutor(1) as threads:
        line.delay_seconds = SLOW

        def send_partially() -> None:
            eventually(lambda: service.stored() != before)
            line.delay_seconds = 0
            line.cut()

        cutting = threads.submit(send_partially)
        yield f"http://127.0.0.1:{line.port}"
        cutting.result()


def tuspy(service: Service, maya: RawTusClient, content: bytes, *, at: str = "", **options: Any) -> Any:
    """
    Return a tuspy uploader for the service, or for another URL if one is given.
    """
    client = TusClient(f"{at or service.url}{service.api}/tus", headers={"Authorization": f"Bearer {maya.token}"})
    return client.uploader(file_stream=io.BytesIO(content), metadata={"filename": "by tuspy.bin"}, **options)


@pytest.mark.parametrize("chunk", [3 * MIB, 600_000])
def test_tuspy_resumes_the_upload_of_an_earlier_process(
    service: Service, maya: RawTusClient, tmp_path: Path, chunk: int
) -> None:
    """A second uploader asks for the offset and sends the rest with checksums."""
    content = random_file(tmp_path / "file", SIZE)
    first = tuspy(service, maya, content, chunk_size=chunk)
    first.upload(stop_at=4 * MIB)
    second = tuspy(service, maya, content, chunk_size=chunk, url=first.url, upload_checksum=True)
    assert second.offset == first.offset >= 4 * MIB
    second.upload()
    assert maya.content(first.url.rpartition("/")[2]) == content


def test_tuspy_resumes_after_a_lost_connection(service: Service, maya: RawTusClient, tmp_path: Path) -> None:
    """The connection is lost during its only request; it asks for the offset and sends the rest."""
    content = random_file(tmp_path / "file", SIZE)
    offsets: list[int] = []
    with interrupted_proxy(service) as at:
        uploader = tuspy(service, maya, content, at=at, retries=20, retry_delay=0.1)
        ask = uploader.get_offset

        def asked() -> int:
            offsets.append(ask())
            return offsets[-1]

        uploader.get_offset = asked
        uploader.upload()
    assert offsets
    assert all(0 < offset < SIZE for offset in offsets)
    assert maya.content(uploader.url.rpartition("/")[2]) == content


def test_tuspy_asks_for_the_offset_after_a_409(service: Service, maya: RawTusClient, tmp_path: Path) -> None:
    """A wrong offset is refused, and the uploader continues from the offset of the server."""
    content = random_file(tmp_path / "file", MIB)
    uploader = tuspy(service, maya, content, chunk_size=MIB // 2, retries=1, retry_delay=0)
    uploader.upload(stop_at=MIB // 2)
    uploader.offset = 0
    uploader.upload()
    assert maya.content(uploader.url.rpartition("/")[2]) == content


@pytest.mark.parametrize("chunk", [1_000_003, None])
def test_tus_js_resumes_the_upload_of_an_earlier_process(
    service: Service, maya: RawTusClient, js: TusJs, tmp_path: Path, chunk: int | None
) -> None:
    """The upload was interrupted between two requests or during its only one."""
    file = tmp_path / "file"
    content = random_file(file, SIZE)
    if chunk is None:
        # One request for the whole content, of which a part and a half arrive.
        url = maya.create(len(content))
        send_partially(maya, url, content, 6 * MIB)
    else:
        url = js(service, maya.token, file, chunkSize=chunk, stopAt=4 * MIB)["url"]
    upload = url.removeprefix(service.url)
    assert 4 * MIB <= maya.offset(upload) < SIZE
    result = js(service, maya.token, file, url=service.url + upload, chunkSize=chunk)
    assert result["file"] == upload.rpartition("/")[2]
    assert maya.content(result["file"]) == content


def test_tus_js_resumes_after_a_lost_connection(
    service: Service, maya: RawTusClient, js: TusJs, tmp_path: Path
) -> None:
    """The connection is lost during its only request; it asks for the offset and sends the rest."""
    file = tmp_path / "file"
    content = random_file(file, SIZE)
    with interrupted_proxy(service) as at:
        result = js(service, maya.token, file, endpoint=f"{at}{service.api}/tus", retryDelays=[100] * 20)
    first, *others = result["offsets"]
    assert first == 0
    assert others
    assert all(0 < offset < SIZE for offset in others)
    assert maya.content(result["file"]) == content


def send_partially(maya: RawTusClient, upload: str, content: bytes, sent: int) -> None:
    """
    Announce the whole content, send the first bytes, and close the connection.
    """
    with connected(maya.service.port) as connection:
        send(connection, "PATCH", upload, maya.headers(Upload_Offset="0"), len(content))
        connection.sendall(content[:sent])
    eventually(lambda: maya.offset(upload) == sent)


@pytest.mark.parametrize("options", [{"parallelUploads": 3}, {"deferred": True, "chunkSize": MIB}])
def test_tus_js_uploads_concatenated_and_deferred_length_files(
    service: Service, maya: RawTusClient, js: TusJs, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Three partial uploads are concatenated, or the length is announced at the end; the file is complete."""
    file = tmp_path / "file"
    content = random_file(file, SIZE)
    result = js(service, maya.token, file, **options)
    assert maya.content(result["file"]) == content
    listed = service.call("GET", "/files/", token=maya.token).json()
    assert [each["original_filename"] for each in listed] == ["by tus-js.bin"]
