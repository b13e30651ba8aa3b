"""
A request with an Idempotency-Key whose worker is killed before it has answered is sent again.
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


def sent(service: Service, request: bytes) -> Response:
    """
    The answer to a request, however often the connection is lost to a worker that is gone.
    """
    responses: list[Response] = []

    def answered() -> bool:
        with suppress(OSError), connected(service.port) as connection:
            connection.sendall(request)
            responses.append(receive(connection))
        return bool(responses)

    eventually(answered)
    return responses[-1]


def listed(service: Service, token: str) -> list[str]:
    return [file["id"] for file in service.call("GET", "/files/", token=token).json()]


@contextmanager
def no_commit(data: Path) -> Iterator[None]:
    """
    Let nobody else write to the database until the block ends.
    """
    with closing(sqlite3.connect(data / "sft.db", timeout=30, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_worker_that_is_killed_after_its_commit_is_asked_again(killed_service: Service, content: bytes) -> None:
    """The file is there, its sender has read no answer: sent again it is told of that file, and there is one."""
    token = killed_service.sign_up(f"after{len(content)}")
    with connected(killed_service.port) as connection:
        connection.sendall(upload(killed_service, token, content))
        eventually(lambda: bool(listed(killed_service, token)))
        kill_workers(killed_service)
    made = listed(killed_service, token)
    responses = [sent(killed_service, upload(killed_service, token, content)) for _ in range(2)]
    assert [response.status for response in responses] == [201, 201]
    assert responses[0].json() == responses[1].json()
    assert made == listed(killed_service, token) == [responses[0].json()["id"]]
    download = f"{killed_service.api}/files/shared/{responses[0].json()['share_token']}"
    assert sent(killed_service, head("GET", download, {}, 0)).body == content


def test_a_worker_that_is_killed_before_its_commit_is_asked_again(killed_service: Service) -> None:
    """Its part is stored and no row knows of it: sent again the file is made, once, and another body is refused."""
    token = killed_service.sign_up("before")
    before = killed_service.stored()
    with connected(killed_service.port) as connection, no_commit(killed_service.data):
        connection.sendall(upload(killed_service, token, SMALL))
        eventually(lambda: any(map(file_id_of_blob, killed_service.stored() - before)))
        kill_workers(killed_service)
    response = sent(killed_service, upload(killed_service, token, SMALL))
    assert response.status == 201
    assert sent(killed_service, upload(killed_service, token, SMALL)).json() == response.json()
    assert listed(killed_service, token) == [response.json()["id"]]
    other = sent(killed_service, upload(killed_service, token, SMALL[::-1]))
    assert (other.status, other.json()["code"]) == (422, "idempotency-key-reused")
