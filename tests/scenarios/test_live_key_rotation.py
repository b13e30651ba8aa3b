"""
A key rotation under load without a restart of the service.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from support.clients.load import Client, clients_running, find_discrepancies
from support.servers.service import serving
from support.waiting import eventually


def has_continued(client: Client, since: int) -> bool:
    return sum(client.journal.statuses.values()) > since


def test_rotation_under_load_fails_no_request(tmp_path: Path, postgres_url: str) -> None:
    """
    Two workers serve two clients that store, read, share and delete while a key is added, rotated to and retired.

    No request fails or is deferred. Afterwards every file is readable, and the new key is the only one.
    """
    settings = {"DATABASE_URL": postgres_url, "ARGON2_MEMORY_KIB": "8192", "PART_SIZE": "65536"}
    environment = {**os.environ, **settings}

    def keys(*words: str) -> str:
        command = [sys.executable, "-m", "sft_http.cli.main", "keys", words[0], "--data", str(tmp_path / "data")]
        done = subprocess.run(
            [*command, *words[1:]], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with serving(tmp_path, workers=2, settings=settings) as service:
        clients = [Client(service, seed, service.sign_up(f"rotating{seed}")) for seed in range(2)]
        with clients_running(clients):
            (old,) = (line.split()[0] for line in keys("list").splitlines() if " active " in line)
            for words in (("add",), ("rotate", "--batch", "20"), ("retire", old)):
                keys(*words)
                for client in clients:
                    eventually(partial(has_continued, client, sum(client.journal.statuses.values())))
        statuses = {status for client in clients for _, status in client.journal.statuses}
        assert not statuses & {None, 429, 500, 503}, [client.journal.statuses for client in clients]
        assert [find_discrepancies(client) for client in clients] == [[]] * len(clients)
        assert len(keys("list").splitlines()) == 2
