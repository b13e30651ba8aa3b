"""
Stopping the service: running requests may finish, and the leftovers of interrupted ones are deleted.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from sft_http.cli.main import sft
from support.clients.tus import workers
from support.clients.wire import connected, form, receive, receive_head, send
from support.servers.processes import kill_tree, process_tree, processes_matching
from support.servers.service import Service, serving
from support.waiting import eventually

MIB = 1 << 20
CONTENT = os.urandom(15 * MIB)


def test_sigterm_exits_with_0_and_data_survives_a_restart(tmp_path: Path) -> None:
    """Keys, accounts and files are kept."""
    with serving(tmp_path) as first:
        token = first.sign_up("phoenix")
        headers, body = form(token, b"still here", "phoenix.txt")
        with connected(first.port) as connection:
            send(connection, "POST", f"{first.api}/files/upload", headers, len(body))
            connection.sendall(body)
            file = receive(connection).json()
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(15) == 0
    with serving(tmp_path) as second:
        path = f"{second.api}/files/{file['id']}/download"
        with connected(second.port) as connection:
            send(connection, "GET", path, {"Authorization": f"Bearer {token}"}, 0)
            assert receive(connection).body == b"still here"
        for line in second.log.read_text().splitlines():
            assert "Traceback" not in line
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data" / "keys").iterdir()}
    assert set(modes.values()) == {0o600}


def begin_upload(service: Service, connection: socket.socket, token: str) -> bytes:
    """
    Send two thirds of an upload, wait until one of its parts is stored, and return the rest.
    """
    headers, body = form(token, CONTENT, "interrupted.bin")
    headers["X-Request-ID"] = "the-interrupted-one"
    send(connection, "POST", f"{service.api}/files/upload", headers, len(body))
    cut = len(body) * 2 // 3
    connection.sendall(body[:cut])
    eventually(lambda: bool(service.stored()))
    return body[cut:]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_upload_interrupted_by_the_stop_leaves_nothing(tmp_path: Path, sign: signal.Signals) -> None:
    """After the grace period its parts and its row are deleted, and the request is logged as incomplete."""
    limits = {"GRACEFUL_STOP_SECONDS": "1", "ARGON2_MEMORY_KIB": "8192"}
    with serving(tmp_path, settings=limits) as service, connected(service.port) as connection:
        begin_upload(service, connection, service.sign_up("cut"))
        service.process.send_signal(sign)
        assert service.process.wait(20) == 0
        assert service.is_tidy()
        lines = [json.loads(line) for line in service.log.read_text().splitlines() if "the-interrupted-one" in line]
    assert [(line["route"], line["complete"]) for line in lines] == [("/api/v1/files/upload", False)]


def test_upload_running_at_the_stop_may_finish(tmp_path: Path) -> None:
    """A client that continues to send after SIGTERM receives the complete response."""
    with serving(tmp_path, settings={"ARGON2_MEMORY_KIB": "8192"}) as service, connected(service.port) as connection:
        rest = begin_upload(service, connection, service.sign_up("finishing"))
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: not listens(service))
        connection.sendall(rest)
        response = receive(connection)
        assert (response.status, response.json()["file_size"]) == (201, len(CONTENT))
        assert service.process.wait(20) == 0


def listens(service: Service) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", service.port)) == 0


def test_idle_connections_do_not_delay_the_stop(tmp_path: Path) -> None:
    """Kept-alive and silent connections are closed at once, long before their own timeouts."""
    limits = {"KEEPALIVE_SECONDS": "300", "HEADER_TIMEOUT_SECONDS": "300", "GRACEFUL_STOP_SECONDS": "300"}
    with (
        serving(tmp_path, settings=limits) as service,
        connected(service.port) as kept,
        connected(service.port) as silent,
    ):
        kept.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert receive_head(kept)[0] == 200
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0
        assert silent.recv(1) == b""


def test_sighup_replaces_the_worker(tmp_path: Path) -> None:
    """A new process serves the same port and accounts, and the main process keeps running."""
    with serving(tmp_path, settings={"ARGON2_MEMORY_KIB": "8192"}) as service:
        token = service.sign_up("reloaded")
        before = set(process_tree(service.process.pid))
        service.process.send_signal(signal.SIGHUP)
        eventually(lambda: not (set(process_tree(service.process.pid)) & before) - {service.process.pid}, seconds=20)
        assert service.call("GET", "/auth/me", token=token).status == 200
        assert service.process.poll() is None


def test_key_added_while_the_service_runs_wraps_new_secrets(tmp_path: Path) -> None:
    """It is used without a signal, and also after SIGHUP has restarted the workers."""
    with serving(tmp_path, settings={"ARGON2_MEMORY_KIB": "8192"}) as service:
        token = service.sign_up("rotated")

        def seeds_under(state: str) -> int:
            assert service.call("POST", "/auth/2fa/setup", token=token).status == 200
            listed = CliRunner().invoke(sft, ["keys", "list", "--json", "--data", str(service.data)])
            keys = json.loads(listed.output)["keys"]
            return sum(key["needed_by"]["totp"] for key in keys if key["state"] == state)

        assert CliRunner().invoke(sft, ["keys", "add", "--data", str(service.data)]).exit_code == 0
        assert (seeds_under("active"), seeds_under("earlier")) == (1, 0)
        before = set(process_tree(service.process.pid))
        service.process.send_signal(signal.SIGHUP)
        eventually(lambda: not (set(process_tree(service.process.pid)) & before) - {service.process.pid}, seconds=20)
        assert (seeds_under("active"), seeds_under("earlier")) == (1, 0)


def test_workers_exit_with_their_main_process(tmp_path: Path) -> None:
    """They wait for no client: port and data are free for a successor, without leftovers."""
    limits = {"GRACEFUL_STOP_SECONDS": "3600", "ARGON2_MEMORY_KIB": "8192"}
    with serving(tmp_path, settings=limits) as service, connected(service.port) as connection:
        token = service.sign_up("orphaned")
        begin_upload(service, connection, token)
        orphans = set(workers(service))
        service.process.kill()
        try:
            eventually(lambda: not orphans & set(processes_matching(str(tmp_path))), seconds=20)
        finally:
            for orphan in orphans & set(processes_matching(str(tmp_path))):
                kill_tree(orphan)
    with serving(tmp_path, settings=limits, port=service.port) as successor:
        assert successor.call("GET", "/files/", token=token).json() == []
        assert successor.is_tidy()
