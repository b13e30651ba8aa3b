"""
A process with a low limit of open files: accepted connections are served, and none is interrupted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.clients.wire import call, connected, receive, send
from support.servers.service import serving
from support.waiting import eventually


def test_start_with_too_few_descriptors_is_refused(tmp_path: Path) -> None:
    """With a limit of 64 the service exits with status 2 and one sentence that names the limit."""
    serve = f"ulimit -n 64; exec {sys.executable} -m sft_http.cli.main serve --data {tmp_path / 'data'} --port 1024"
    ended = subprocess.run(["bash", "-c", serve], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "a process may open 64 files here (`ulimit -n`)" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("limit", [128, 256])
def test_more_connections_than_descriptors_are_all_answered(tmp_path: Path, limit: int) -> None:
    """Each of 300 connections receives 200 or a 503 `busy`, and nothing else is logged."""
    with serving(tmp_path, settings={"ARGON2_MEMORY_KIB": "8192"}, descriptors=limit) as service:
        token = service.sign_up("crowd")
        with ExitStack() as stack:
            connections = [stack.enter_context(connected(service.port)) for _ in range(300)]
            for connection in connections:
                send(connection, "GET", f"{service.api}/auth/me", {"Authorization": f"Bearer {token}"}, 0)
            responses = [receive(connection) for connection in connections]
        assert {response.status for response in responses} <= {200, 503}
        assert all(response.json()["code"] == "busy" for response in responses if response.status == 503)
        assert sum(response.status == 200 for response in responses) >= 16
        with ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(connected(service.port))
        eventually(lambda: call(service.port, "GET", "/health").status == 200)
        assert service.call("GET", "/auth/me", token=token).status == 200
        lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
        assert [line for line in lines if line["logger"] != "sft.access" and line.get("code") != "busy"] == []
