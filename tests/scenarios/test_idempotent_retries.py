"""
Repeated requests with an Idempotency-Key after their worker was killed before it responded.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from sft_core.vault.model import file_id_of_blob
from support.clients.tus import kill_workers
from support.clients.wire import Response, connected, head, receive
from support.servers.service import Service, serving
from support.waiting import eventually

PART = 64 << 10
SMALL, LARGE = os.urandom(1000), os.urandom(3 * PART + 5)


@pytest.fixture(scope="module")
def killed_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {"ARGON2_MEMORY_KIB": "8192", "PART_SIZE": str(PART), "DATABASE_TIMEOUT_SECONDS": "60"}
    with serving(tmp_path_factory.mktemp("sent-twice"), settings=settings) as service:
        yield service


def upload(service: Service, token: str, content: bytes) -> bytes:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": '"once"'}
    return head("PUT", f"{service.api}/files/once.bin?is_public=true", headers, len(content)) + content


def send_until_answered(service: Service, request: bytes) -> Response:
    """
    Return the response to a request, repeating it while connections to killed workers fail.
    """
    responses: list[Response] = []

    def attempt() -> bool:
        with suppress(OSError), connected(service.port) as connection:
            connection.sendall(request)
            responses.append(receive(connection))
        return bool(responses)

    eventually(attempt)
    return responses[-1]


def listed(service: Service, token: str) -> list[str]:
    return [file["id"] for file in service.call("GET", "/files/", token=token).json()]


@contextmanager
def block_commits(data: Path) -> Iterator[None]:
    """
    Hold the database's write lock until the block ends, so that no worker can commit.
    """
    with closing(sqlite3.connect(data / "sft.db", timeout=30, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_upload_repeated_after_its_commit_returns_the_stored_file(killed_service: Service, content: bytes) -> None:
    """The worker was killed between commit and response; there is one file."""
    token = killed_service.sign_up(f"after{len(content)}")
    with connected(killed_service.port) as connection:
        connection.sendall(upload(killed_service, token, content))
        eventually(lambda: bool(listed(killed_service, token)))
        kill_workers(killed_service)
    stored = listed(killed_service, token)
    responses = [send_until_answered(killed_service, upload(killed_service, token, content)) for _ in range(2)]
    assert [response.status for response in responses] == [201, 201]
    assert responses[0].json() == responses[1].json()
    assert stored == listed(killed_service, token) == [responses[0].json()["id"]]
    download = f"{killed_service.api}/files/shared/{responses[0].json()['share_token']}"
    assert send_until_answered(killed_service, head("GET", download, {}, 0)).body == content


def test_upload_repeated_before_its_commit_stores_one_file(killed_service: Service) -> None:
    """The worker had stored a part without a row; afterwards another body under the same key is refused."""
    token = killed_service.sign_up("before")
    before = killed_service.stored()
    with connected(killed_service.port) as connection, block_commits(killed_service.data):
        connection.sendall(upload(killed_service, token, SMALL))
        eventually(lambda: any(map(file_id_of_blob, killed_service.stored() - before)))
        kill_workers(killed_service)
    response = send_until_answered(killed_service, upload(killed_service, token, SMALL))
    assert response.status == 201
    assert send_until_answered(killed_service, upload(killed_service, token, SMALL)).json() == response.json()
    assert listed(killed_service, token) == [response.json()["id"]]
    other = send_until_answered(killed_service, upload(killed_service, token, SMALL[::-1]))
    assert (other.status, other.json()["code"]) == (422, "idempotency-key-reused")
