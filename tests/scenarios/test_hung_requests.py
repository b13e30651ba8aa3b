"""
Requests that hang in the middle of an upload: the next request for the same upload replaces them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.clients.tus import RawTusClient
from support.clients.wire import connected, receive, send
from support.servers.service import Service, serving
from support.waiting import eventually

PART = 1 << 20
CONTENT = os.urandom(8 * PART + 321)
SETTINGS = {
    "ARGON2_MEMORY_KIB": "8192",
    "PART_SIZE": str(PART),
    "MAX_UPLOADS_PER_USER": "2",
    # Longer than the test: only the next request ends a hung one.
    "STALL_SECONDS": "3600",
}


@pytest.fixture(scope="module")
def patient_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root: Path = tmp_path_factory.mktemp("hung")
    with serving(root, settings=SETTINGS) as service:
        yield service


def test_next_request_for_an_upload_replaces_a_hung_one(patient_service: Service) -> None:
    """
    All upload slots of the user are occupied by hung requests.

    Another upload is refused; each hung upload is completed by its next request, and the hung request gets 409.
    """
    maya = RawTusClient(patient_service, patient_service.sign_up("hung"))
    uploads = [maya.create(len(CONTENT)) for _ in range(2)]
    with ExitStack() as opened:
        hung = [opened.enter_context(connected(patient_service.port)) for _ in uploads]
        for connection, upload, sent in zip(hung, uploads, (PART + 3, 3 * PART + 100), strict=True):
            send(connection, "PATCH", upload, maya.headers(Upload_Offset="0"), len(CONTENT))
            connection.sendall(CONTENT[:sent])
            eventually(lambda upload=upload, sent=sent: maya.offset(upload) == sent // PART * PART)  # type: ignore[misc]  # no type for a bound default
        created = {"Upload_Length": "1", "Upload_Metadata": "filename eA=="}
        refused = maya.call("POST", f"{patient_service.api}/tus", b"x", **created)
        assert (refused.status, refused.json()["code"]) == (429, "too-many-uploads")
        for connection, upload in zip(hung, uploads, strict=True):
            at = maya.offset(upload)
            response = maya.patch(upload, at, CONTENT[at:])
            assert response.status == 204
            assert maya.content(response.headers["x-file-id"]) == CONTENT
            replaced = receive(connection)
            assert (replaced.status, replaced.json()["code"]) == (409, "upload-taken-over")
    eventually(patient_service.is_tidy)
