"""
Unavailable and hung servers: other requests are served, and the service recovers.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from support.clients.wire import Response, connected, form, receive, send
from support.servers import backends
from support.servers.processes import process_tree
from support.servers.service import Service, serving
from support.waiting import eventually

LIGHT = {"ARGON2_MEMORY_KIB": "8192"}
DELETES = 24


def workers(service: Service) -> set[int]:
    return set(process_tree(service.process.pid)) - {service.process.pid}


def test_worker_started_without_a_database_serves_once_it_is_back(tmp_path: Path) -> None:
    """Until then it responds with 503, and the main process keeps running."""
    with backends.own_postgres() as postgres, postgres.database() as url:
        assert postgres.server is not None
        with serving(tmp_path, settings=LIGHT | {"DATABASE_URL": url}) as service:
            token = service.sign_up("patient")
            (old,) = workers(service)
            postgres.server.kill()
            os.kill(old, signal.SIGKILL)
            eventually(lambda: len(workers(service)) == 1 and workers(service) != {old}, seconds=20)
            for path in ("/auth/me", "/files/shared/" + "a" * 43):
                response = service.call("GET", path, token=token)
                assert (response.status, response.json()["code"]) == (503, "database-unavailable")
            postgres.server.start()
            eventually(lambda: service.call("GET", "/auth/me", token=token).status == 200, seconds=20)
            assert service.process.poll() is None
            assert "Traceback" not in service.log.read_text()


def test_upload_interrupted_by_the_database_releases_its_quota(tmp_path: Path) -> None:
    """An upload that lost the database leaves nothing: soon after the recovery another of the same size fits."""
    content = os.urandom(15 << 20)
    with backends.own_postgres() as postgres, postgres.database() as url:
        assert postgres.server is not None
        limits = {"DATABASE_URL": url, "USER_QUOTA": str(16 << 20)}
        with serving(tmp_path, settings=LIGHT | limits) as service, connected(service.port) as connection:
            token = service.sign_up("squeezed")
            headers, body = form(token, content, "squeezed.bin")
            send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
            connection.sendall(body[: len(body) * 2 // 3])
            eventually(lambda: bool(service.stored()))
            postgres.server.kill()
            connection.sendall(body[len(body) * 2 // 3 :])
            assert receive(connection).status == 503
            postgres.server.start()
            eventually(lambda: store(service, token, content).status == 201, seconds=30)
            assert len(service.call("GET", "/files/", token=token).json()) == 1
            assert len(service.stored()) == 4


def test_hung_blob_store_does_not_delay_other_requests(tmp_path: Path) -> None:
    """More deletions and uploads than threads wait for the store; account and listing requests are served."""
    with backends.own_s3() as s3:
        assert s3.server is not None
        limits = {"CONTROL_THREADS": "2", "MINIO_READ_SECONDS": "5"}
        with serving(tmp_path, settings=LIGHT | limits | s3.environ("sft-away")) as service:
            token = service.sign_up("held")
            files = [store(service, token).json()["id"] for _ in range(DELETES)]
            s3.server.pause()
            responses: list[int] = []
            calls: list[Callable[[], int]] = [partial(delete, service, token, file) for file in files]
            calls += [lambda: store(service, token).status for _ in range(8)]
            threads = [threading.Thread(target=lambda call=call: responses.append(call())) for call in calls]
            for thread in threads:
                thread.start()
            for _ in range(10):
                assert service.call("GET", "/auth/me", token=token).status == 200
                assert service.call("GET", "/files/", token=token).status == 200
            assert responses == [], "the blob store responded, so the test shows nothing"
            s3.server.resume()
            for thread in threads:
                thread.join(60)
            assert set(responses) <= {201, 204, 503}


def delete(service: Service, token: str, file: str) -> int:
    return service.call("DELETE", f"/files/{file}", token=token).status


def store(service: Service, token: str, content: bytes = b"held") -> Response:
    headers, body = form(token, content, "held.txt")
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body)
        return receive(connection)
