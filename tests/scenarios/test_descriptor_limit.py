"""
A process that may open few files: what it lets in it serves, and nothing breaks off.
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


def test_too_few_are_refused_in_one_sentence(tmp_path: Path) -> None:
    """With 64 the service does not start, and says what the limit is and what it needs."""
    serve = f"ulimit -n 64; exec {sys.executable} -m sft_http.cli.main serve --data {tmp_path / 'data'} --port 1024"
    ended = subprocess.run(["bash", "-c", serve], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "a process may open 64 files here (`ulimit -n`)" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("limit", [128, 256])
def test_three_hundred_connections_beside_few_descriptors(tmp_path: Path, limit: int) -> None:
    """Whoever is let in is answered, 200 or "come again"; all are let in, and the log stays quiet."""
    with serving(tmp_path, settings={"ARGON2_MEMORY_KIB": "8192"}, descriptors=limit) as service:
        token = service.sign_up("crowd")
        with ExitStack() as held:
            crowd = [held.enter_context(connected(service.port)) for _ in range(300)]
            for connection in crowd:
                send(connection, "GET", f"{service.api}/auth/me", {"Authorization": f"Bearer {token}"}, 0)
            responses = [receive(connection) for connection in crowd]
        assert {response.status for response in responses} <= {200, 503}
        assert all(response.json()["code"] == "busy" for response in responses if response.status == 503)
        assert sum(response.status == 200 for response in responses) >= 16
        with ExitStack() as held:
            for _ in range(300):
                held.enter_context(connected(service.port))
        eventually(lambda: call(service.port, "GET", "/health").status == 200)
        assert service.call("GET", "/auth/me", token=token).status == 200
        lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
        assert [line for line in lines if line["logger"] != "sft.access" and line.get("code") != "busy"] == []
