"""
The thread pools of uploads and deletions: transactions run on one, blob I/O on the other.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable
from typing import Any

import falcon.testing
import pytest

from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.memory.database import MemoryDatabase
from support.app.edge import END, Edge, field_part, file_part
from support.app.exchange import send_messages

PART = 65_536
LARGE = bytes(5 * PART)
PUT = {"Content-Type": "text/plain"}
TUS = {"Tus-Resumable": "1.0.0"}
PATCH = {**TUS, "Content-Type": "application/offset+octet-stream"}

Pools = dict[str, set[str]]
Act = Callable[[Edge, str], int]


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> Pools:
    """
    The names of the pools on whose threads the database and the blob store are called.
    """
    used: Pools = {"database": set(), "blobs": set()}

    def record_threads(owner: type, method: str, kind: str) -> None:
        call = getattr(owner, method)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            used[kind].add(threading.current_thread().name.removeprefix("sft-").rpartition("_")[0])
            return call(*args, **kwargs)

        monkeypatch.setattr(owner, method, recorded)

    record_threads(MemoryDatabase, "__call__", "database")
    for method in ("put", "read_into", "delete", "list"):
        record_threads(MemoryBlobs, method, "blobs")
    return used


def put(service: Edge, token: str, content: bytes = LARGE, *, key: str | None = None) -> falcon.testing.Result:
    headers = PUT if key is None else {**PUT, "Idempotency-Key": key}
    return service.call("PUT", "/files/a.txt", token=token, raw=content, headers=headers)


def a_small_file(service: Edge, token: str) -> int:
    return put(service, token, b"small").status_code


def an_empty_file(service: Edge, token: str) -> int:
    return put(service, token, b"").status_code


def a_large_file(service: Edge, token: str) -> int:
    return put(service, token).status_code


def a_large_file_of_unknown_size(service: Edge, token: str) -> int:
    pieces = [LARGE[start : start + PART] for start in range(0, len(LARGE), PART)]
    return send_messages(service, "PUT", "/files/a.txt", token, pieces, headers=PUT).status


def a_public_form(service: Edge, token: str) -> int:
    return service.upload(token, file_part(LARGE) + field_part("is_public", "true") + END).status_code


def a_repeated_file(service: Edge, token: str) -> int:
    statuses = [put(service, token, key="once").status_code for _ in range(2)]
    return max(statuses)


def create(service: Edge, token: str, size: int) -> str:
    creation = service.call(
        "POST", "/tus", token=token, headers={**TUS, "Upload-Length": str(size), "Upload-Metadata": NAME}
    )
    return str(creation.headers["location"]).removeprefix(service.settings.app.api_prefix)


NAME = f"filename {base64.b64encode(b'a.txt').decode()}"


def patch(service: Edge, token: str, upload: str, content: bytes, offset: int, digest: bytes | None = None) -> int:
    headers = {**PATCH, "Upload-Offset": str(offset)}
    if digest is not None:
        headers["Upload-Checksum"] = f"sha256 {base64.b64encode(digest).decode()}"
    return service.call("PATCH", upload, token=token, raw=content, headers=headers).status_code


def a_resumed_upload(service: Edge, token: str) -> int:
    upload = create(service, token, len(LARGE))
    assert patch(service, token, upload, LARGE[: 3 * PART], 0) == 204
    rest = LARGE[3 * PART :]
    return patch(service, token, upload, rest, 3 * PART, hashlib.sha256(rest).digest())


def a_wrong_checksum(service: Edge, token: str) -> int:
    upload = create(service, token, len(LARGE))
    return patch(service, token, upload, LARGE, 0, bytes(32))


def a_deletion(service: Edge, token: str) -> int:
    file = put(service, token).json["id"]
    return service.call("DELETE", f"/files/{file}", token=token).status_code


def a_termination(service: Edge, token: str) -> int:
    upload = create(service, token, len(LARGE))
    assert patch(service, token, upload, LARGE[: 3 * PART], 0) == 204
    return service.call("DELETE", upload, token=token, headers=TUS).status_code


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (a_small_file, 201),
        (an_empty_file, 201),
        (a_large_file, 201),
        (a_large_file_of_unknown_size, 201),
        (a_public_form, 201),
        (a_repeated_file, 201),
        (a_resumed_upload, 204),
        (a_wrong_checksum, 460),
        (a_deletion, 204),
        (a_termination, 204),
    ],
)
def test_transfer_calls_database_and_store_on_their_own_pools(
    service: Edge, token: str, pools: Pools, act: Act, status: int
) -> None:
    """A store that hangs blocks no transaction, and a slow transaction blocks no other transfer's thread."""
    for used in pools.values():
        used.clear()
    assert act(service, token) == status
    assert pools == {"database": {service.pools.database.name}, "blobs": {service.pools.transfer.name}}


@pytest.mark.parametrize("act", [a_deletion, a_termination])
def test_deletion_leaves_nothing(service: Edge, token: str, act: Act) -> None:
    """The row and the blobs are deleted and the quota is released, each on its own pool."""
    assert act(service, token) == 204
    assert service.is_empty()
