"""
The service as a process, on its embedded default or started by the README's command.
"""

from __future__ import annotations

import os
import secrets
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import attrs

from sft_adapters.settings.catalogue import SETTINGS
from sft_core.maintenance.store_identity import STORE_ID_NAME
from support.clients.transcript import blocks
from support.clients.wire import Response, call
from support.servers.processes import reusable_port, running

README = Path(__file__).parents[3] / "README.md"


@attrs.frozen
class Service:
    """
    A running `sft serve`: its port, its main process, its data folder and its log.
    """

    port: int
    process: subprocess.Popen[bytes]
    data: Path
    log: Path
    settings: Mapping[str, str] = attrs.field(factory=dict)
    api: str = "/api/v1"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, *, token: str = "", body: Any = None) -> Response:
        return call(self.port, method, self.api + path, token=token, body=body)

    def is_tidy(self) -> bool:
        """
        Return whether every file is complete, every part belongs to a file, and the quotas count nothing else.
        """
        with closing(sqlite3.connect(f"file:{self.data / 'sft.db'}?mode=ro", uri=True)) as database:
            unfinished = database.execute("SELECT count(*) FROM files WHERE state != 'sealed'").fetchone()[0]
            miscounted = database.execute(
                "SELECT count(*) FROM users AS owner"
                " WHERE (SELECT coalesce(sum(bytes), 0) FROM usages WHERE owner_id = owner.id)"
                " != (SELECT coalesce(sum(size), 0) FROM files WHERE owner_id = owner.id)"
            ).fetchone()[0]
            known = {key for (key,) in database.execute("SELECT blob_key FROM parts")}
        folders = {path.name for path in (self.data / "blobs").iterdir() if path.name != STORE_ID_NAME}
        if unfinished or miscounted:
            return False
        return self.stored() == known and folders == {key.partition("/")[0] for key in known}

    def stored(self) -> set[str]:
        """
        Return the keys of all blobs and other files in the blob folder, except the store identity.
        """
        blobs = self.data / "blobs"
        found = {str((Path(folder) / name).relative_to(blobs)) for folder, _, names in os.walk(blobs) for name in names}
        return found - {STORE_ID_NAME}

    def edit(self, statement: str, *values: object) -> None:
        """
        Change one row of the database directly, where the API has no such call.
        """
        with closing(sqlite3.connect(self.data / "sft.db", timeout=10)) as database, database:
            assert database.execute(statement, values).rowcount == 1

    def sign_up(self, name: str) -> str:
        """
        Register a user with a random password, sign in, and return the access token.
        """
        account = {"email": f"{name}@example.org", "username": name, "password": secrets.token_hex(16)}
        assert self.call("POST", "/auth/register", body=account).status == 201
        login = {key: account[key] for key in ("email", "password")}
        return str(self.call("POST", "/auth/login", body=login).json()["access_token"])


SFT = ("-m", "sft_http.cli.main")
"""Arguments with which Python runs `sft`."""


@contextmanager
def serving(
    root: Path,
    *,
    workers: int = 1,
    settings: Mapping[str, str] = {},
    port: int | None = None,
    program: Sequence[str] = SFT,
    descriptors: int | None = None,
) -> Iterator[Service]:
    """
    Run the embedded default until the block ends, on a free port unless one is given.

    `descriptors` limits the number of open files.
    """
    root.mkdir(parents=True, exist_ok=True)
    port, log = port or reusable_port(), root / "sft.log"
    command = [sys.executable, *program, "serve", "--data", str(root / "data")]
    command += ["--port", str(port), "--workers", str(workers)]
    if descriptors is not None:
        command = ["bash", "-c", 'ulimit -n "$0" && exec "$@"', str(descriptors), *command]
    with running(command, port, log, environment={**os.environ, **settings}) as process:
        yield Service(port=port, process=process, data=root / "data", log=log, settings=settings)


def readme_command() -> str:
    """
    Return the README's start command: the last command of its first shell line.
    """
    line, *_ = blocks(README, "sh")
    return line.strip().rpartition(" && ")[2]


@contextmanager
def serving_as_the_readme_says(folder: Path) -> Iterator[Service]:
    """
    Run the README's command unchanged, with a port added.

    It runs in a folder whose `.venv` is the environment of the tests, without their settings.
    """
    (folder / ".venv").symlink_to(sys.prefix)
    port, log, start = reusable_port(), folder / "sft.log", readme_command()
    words = shlex.split(start)
    command = ["bash", "-c", f'cd "$0" && exec {start} --port {port}', str(folder)]
    environment = {name: value for name, value in os.environ.items() if name not in {known.name for known in SETTINGS}}
    with running(command, port, log, environment=environment) as process:
        yield Service(port=port, process=process, data=folder / words[words.index("--data") + 1], log=log)
