"""
Data stored by an earlier commit: copies of it, services, commands and requests on a copy, and its facts.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import attrs
import psycopg

from support.clients.wire import Response, connected, multipart, receive, send
from support.servers import fixed_clock
from support.servers.backends import Postgres
from support.servers.service import Service, serving

Kind = Literal["sqlite", "postgres"]

STORED: Final = Path(__file__).parents[2] / "scenarios" / "stored_data"
LIGHT: Final = {"ARGON2_MEMORY_KIB": "8192", "PART_SIZE": "65536"}
"""The settings that the data was generated with: cheap hashes, and the smallest parts."""
AGE: Final = timedelta(days=30)
"""How old the copied files are when they are opened: a sweep would remove a blob of that age that no row names."""


def content(name: str, size: int) -> bytes:
    """
    Return the content of a stored file: the first `size` bytes of SHAKE-256 of its name.
    """
    return hashlib.shake_256(name.encode()).digest(size)


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@attrs.frozen
class Api:
    """
    Requests to the HTTP API of a running service.
    """

    service: Service

    def call(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        json_body: Any = None,
        body: bytes = b"",
        headers: Mapping[str, str] = {},
    ) -> Response:
        """
        Send one request on its own connection; `path` may include the API's prefix.
        """
        sent = dict(headers)
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if json_body is not None:
            body, sent["Content-Type"] = json.dumps(json_body).encode(), "application/json"
        prefix = "" if path.startswith(self.service.api) else self.service.api
        with connected(self.service.port) as connection:
            send(connection, method, prefix + path, sent, len(body))
            connection.sendall(body)
            return receive(connection)

    def sign_in(self, email: str, password: str, **more: str) -> Response:
        return self.call("POST", "/auth/login", json_body={"email": email, "password": password, **more})

    def upload(
        self, token: str, name: str, body: bytes, *, query: str = "", headers: Mapping[str, str] = {}
    ) -> Response:
        """
        Upload a file by a form.
        """
        form, (before, after) = multipart(name)
        path = f"/files/upload{query}"
        return self.call("POST", path, token=token, body=before + body + after, headers={**form, **headers})

    def tus(self, method: str, path: str, token: str, body: bytes = b"", **headers: str) -> Response:
        """
        Send a tus 1.0.0 request; underscores in header names stand for hyphens.
        """
        sent = {"Tus-Resumable": "1.0.0"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if method == "PATCH":
            sent["Content-Type"] = "application/offset+octet-stream"
        return self.call(method, path, token=token, body=body, headers=sent)


def metadata(**fields: str) -> str:
    """
    Return an `Upload-Metadata` header value with these fields.
    """
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in fields.items())


def command(data: Path, moment: str, settings: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """
    Run an operator's command on a data folder, with the clock set to a moment.
    """
    line = [sys.executable, fixed_clock.__file__, moment, *words, "--data", str(data)]
    return subprocess.run(
        line, env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=120
    )


@attrs.frozen
class Copy:
    """
    A writable copy of stored data in `root/data`, with the settings of its database.
    """

    root: Path
    source: Path
    settings: Mapping[str, str]
    facts: Mapping[str, Any]

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def opened_at(self) -> datetime:
        """
        The time at which the data is opened; everything valid then still has to be valid.
        """
        return datetime.fromisoformat(self.facts["opened_at"])

    @property
    def stored_at(self) -> datetime:
        """
        The modification time of every copied file, older than any grace period of a sweep.
        """
        return self.opened_at - AGE

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """
        Run an operator's command on the copy, with the clock set to the time of opening.
        """
        return command(self.data, self.facts["opened_at"], self.settings, *words)

    @contextmanager
    def served(self) -> Iterator[Api]:
        """
        Run `sft serve` on the copy, with the clock fixed at the time of opening.
        """
        program = [fixed_clock.__file__, self.facts["opened_at"]]
        with serving(self.root, settings=self.settings, program=program) as service:
            yield Api(service)

    def files(self) -> dict[str, str]:
        """
        Return the SHA-256 of every file in the data folder by its path, except SQLite's own files.
        """
        return digests(self.data)

    def stored_files(self) -> dict[str, str]:
        """
        Return the same digests of the original data.
        """
        return digests(self.source / "data")


def digests(folder: Path) -> dict[str, str]:
    """
    Return the SHA-256 of every file below a folder by its path, except SQLite's own files.
    """
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("sft.db")]
    return {str(path.relative_to(folder)): sha256(path.read_bytes()) for path in files}


@contextmanager
def copied(kind: Kind, root: Path, postgres: Postgres | None) -> Iterator[Copy]:
    """
    Copy the stored data of a kind to `root`, and set permissions and times, which version control does not keep.
    """
    source = STORED / kind
    facts = json.loads((source / "facts.json").read_text())
    shutil.copytree(source / "data", root / "data")
    packed = root / "data" / "sft.db.gz"
    if packed.exists():
        (root / "data" / "sft.db").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    stored_at = (datetime.fromisoformat(facts["opened_at"]) - AGE).timestamp()
    for path in (root / "data", *(root / "data").rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (stored_at, stored_at))
    if postgres is None:
        yield Copy(root, source, LIGHT, facts)
        return
    with postgres.database() as url:
        with psycopg.connect(url) as connection:
            connection.execute((source / "rows.sql").read_bytes())
        yield Copy(root, source, {**LIGHT, "DATABASE_URL": url}, facts)
