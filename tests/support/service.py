"""
Our own service as a process, started the way the README starts it.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from support.processes import free_port, running
from support.wire import Answer, call


@attrs.frozen
class Service:
    """
    A running `sft serve`: where it listens, its main process, its data folder and its log.
    """

    port: int
    process: subprocess.Popen[bytes]
    data: Path
    log: Path
    api: str = "/api/v1"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, *, token: str = "", body: Any = None) -> Answer:
        return call(self.port, method, self.api + path, token=token, body=body)

    def sign_up(self, name: str) -> str:
        """
        Register a user with a random password, sign in, and return the access token.
        """
        account = {"email": f"{name}@example.org", "username": name, "password": secrets.token_hex(16)}
        assert self.call("POST", "/auth/register", body=account).status == 201
        login = {key: account[key] for key in ("email", "password")}
        return str(self.call("POST", "/auth/login", body=login).json()["access_token"])


@contextmanager
def serving(root: Path, *, workers: int = 1, settings: Mapping[str, str] = {}) -> Iterator[Service]:
    """
    Run the embedded default on a free port until the block ends.
    """
    root.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), root / "sft.log"
    command = [sys.executable, "-m", "sft_http.cli.main", "serve", "--data", str(root / "data")]
    command += ["--port", str(port), "--workers", str(workers)]
    with running(command, port, log, environment={**os.environ, **settings}) as process:
        yield Service(port=port, process=process, data=root / "data", log=log)
