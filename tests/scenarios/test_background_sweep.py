"""
The sweep of a running server: it deletes the leftovers of a killed worker, and one worker at a time runs it.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from sft_core.maintenance.store_identity import STORE_ID_NAME
from support.clients.wire import connected, form, receive, send
from support.servers.processes import process_tree
from support.servers.service import Service, serving
from support.waiting import eventually

LIGHT = {"ARGON2_MEMORY_KIB": "8192"}
MIB = 1 << 20


def workers(service: Service) -> set[int]:
    return set(process_tree(service.process.pid)) - {service.process.pid}


def store(service: Service, token: str, content: bytes) -> str:
    headers, body = form(token, content, "kept.bin")
    with connected(service.port) as connection:
        send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
        connection.sendall(body)
        return str(receive(connection).json()["id"])


def plant_orphan(service: Service, number: int) -> Path:
    """
    Create an orphaned part and a temporary file of an interrupted put, both with a modification time in 1970.
    """
    staging = service.data / f"planted-{number}"
    staging.mkdir()
    for name in (f"1-00000000-{number:016x}", f".new-{number}"):
        (staging / name).write_bytes(b"noise")
        os.utime(staging / name, (1, 1))
    # One rename makes both visible: a concurrent sweep finds both files or none.
    return staging.rename(service.data / "blobs" / f"{number:032x}")


def sweeps(service: Service) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["logger"] == "sft.sweep"]


def test_sweep_deletes_the_leftovers_of_a_killed_worker(tmp_path: Path) -> None:
    """It deletes idle uploads, expired files, orphaned parts and temporary files; other files and quotas stay."""
    with serving(tmp_path, settings=LIGHT | {"SWEEP_INTERVAL_SECONDS": "0.3"}) as service:
        token = service.sign_up("maya")
        file, brief = store(service, token, b"kept"), store(service, token, b"brief")
        response = service.call("PATCH", f"/files/{brief}", token=token, body={"expires_hours": 1})
        assert response.status == 200
        headers, body = form(token, bytes(9 * MIB), "cut.bin")
        with connected(service.port) as connection:
            send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
            connection.sendall(body[: 8 * MIB])
            # Wait until the parts are complete: an unfinished put leaves a temporary file, which is kept for a day.
            eventually(lambda: len(service.stored()) == 3 and not any("/.new-" in key for key in service.stored()))
            (worker,) = workers(service)
            os.kill(worker, signal.SIGKILL)
        service.edit("UPDATE users SET created_at = 1")
        plant_orphan(service, 7)
        eventually(lambda: not (service.data / "blobs" / f"{7:032x}").exists())
        assert not service.is_tidy(), "the upload was aborted before its idle time had passed"
        service.edit("UPDATE files SET touched_at = 1, created_at = 1 WHERE state = 'receiving'")
        service.edit("UPDATE files SET expires_at = 1 WHERE expires_at IS NOT NULL")
        eventually(lambda: service.is_tidy() and not (service.data / "blobs" / UUID(brief).hex).exists())
        assert service.call("GET", f"/files/{brief}/download", token=token).status == 404
        response = service.call("GET", f"/files/{file}/download", token=token)
        assert response.body == b"kept"
        done = sweeps(service)
        fields = ("given_up", "expired", "removed", "orphans")
        assert [sum(line[field] for line in done) for field in fields] == [1, 1, 2, 1]
        assert all(line["level"] == "info" for line in done)


def test_one_of_two_workers_sweeps_until_it_is_killed(tmp_path: Path, postgres_url: str) -> None:
    """Then the other worker takes over."""
    with serving(
        tmp_path, workers=2, settings=LIGHT | {"DATABASE_URL": postgres_url, "SWEEP_INTERVAL_SECONDS": "1"}
    ) as service:
        service.sign_up("maya")
        with psycopg.connect(postgres_url) as connection:
            connection.execute("UPDATE users SET created_at = 1")
        for number in range(3):
            orphan = plant_orphan(service, number)
            eventually(lambda orphan=orphan: not orphan.exists())  # type: ignore[misc]  # no type for a bound path
        # A sweep is logged at its end: a worker killed in the middle of one keeps the lease for two minutes.
        eventually(lambda: sum(line["orphans"] for line in sweeps(service)) == 3)
        (sweeper,) = {line["process"] for line in sweeps(service)}
        os.kill(sweeper, signal.SIGKILL)
        plant_orphan(service, 9)
        eventually(lambda: sweeps(service)[-1]["process"] != sweeper)


def test_sweep_on_the_store_of_another_service_keeps_orphans(tmp_path: Path) -> None:
    """The start logs one warning; each sweep reports `store-of-another` and runs its other steps."""
    folder = tmp_path / "data" / "blobs"
    folder.mkdir(parents=True)
    (folder / STORE_ID_NAME).write_text("0" * 32 + "\n")
    with serving(tmp_path, settings=LIGHT | {"SWEEP_INTERVAL_SECONDS": "0.3"}) as service:
        token = service.sign_up("maya")
        file = store(service, token, b"kept")
        service.edit("UPDATE users SET created_at = 1")
        orphan = plant_orphan(service, 7)
        since = len(sweeps(service))
        eventually(lambda: len(sweeps(service)) > since + 1)
        assert (orphan / f"1-00000000-{7:016x}").exists()
        assert not (orphan / ".new-7").exists()
        assert sweeps(service)[-1]["failures"] == {"store-of-another": 1}
        assert service.call("GET", f"/files/{file}/download", token=token).body == b"kept"
        lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
        (warning,) = [line for line in lines if line["logger"] == "sft.store"]
        assert (warning["level"], warning["code"]) == ("warning", "store-of-another")
