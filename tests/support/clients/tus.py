"""
Tus clients: tus-js-client in Node, and single requests on the wire.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import attrs

from support.clients.npm import NODE, installed
from support.clients.wire import Response, connected, receive, send
from support.servers.service import Service
from support.waiting import eventually

PACKAGE = Path(__file__).parents[2] / "scenarios" / "tus-js"
VERSION = {"Tus-Resumable": "1.0.0"}


@attrs.frozen
class TusJs:
    """
    An installed tus-js-client.
    """

    folder: Path

    def __call__(self, service: Service, token: str, file: Path, **options: Any) -> Any:
        """
        Upload a file and return the client's report.
        """
        given = {"endpoint": f"{service.url}{service.api}/tus", "token": token, "file": str(file), **options}
        return json.loads(self._node(json.dumps(given)))

    def _node(self, argument: str) -> bytes:
        command = [str(NODE), str(self.folder / "upload.js"), argument]
        done = subprocess.run(command, capture_output=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


def tus_js(cache: Path) -> TusJs:
    """
    Install tus-js-client once for all processes and runs, with the npm of the test environment.
    """
    return TusJs(installed(PACKAGE, cache))


@attrs.frozen
class RawTusClient:
    """
    Sends single tus requests to a running service.
    """

    service: Service
    token: str

    def headers(self, **more: str) -> dict[str, str]:
        found = {**VERSION, "Authorization": f"Bearer {self.token}", "Content-Type": "application/offset+octet-stream"}
        return found | {name.replace("_", "-"): value for name, value in more.items()}

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        with connected(self.service.port) as connection:
            send(connection, method, path, self.headers(**headers), len(body))
            connection.sendall(body)
            return receive(connection)

    def create(self, length: int) -> str:
        """
        Create an upload and return its path.
        """
        name = base64.b64encode(b"wire.bin").decode()
        response = self.call(
            "POST", f"{self.service.api}/tus", Upload_Length=str(length), Upload_Metadata=f"filename {name}"
        )
        assert response.status == 201
        return response.headers["location"]

    def patch(self, upload: str, offset: int, chunk: bytes) -> Response:
        return self.call("PATCH", upload, chunk, Upload_Offset=str(offset))

    def offset(self, upload: str) -> int:
        response = self.call("HEAD", upload)
        assert response.status == 200
        return int(response.headers["upload-offset"])

    def content(self, file: str) -> bytes:
        response = self.call("GET", f"{self.service.api}/files/{file}/download")
        assert response.status == 200
        return response.body


def workers(service: Service) -> list[int]:
    """
    Return the ids of the service's workers, the children of its main process.
    """
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text()
    return [int(child) for child in children.split()]


def random_file(path: Path, size: int) -> bytes:
    """
    Create a file of random bytes and return the bytes.
    """
    content = os.urandom(size)
    path.write_bytes(content)
    return content


def kill_workers(service: Service) -> None:
    """
    Kill every worker at once, as the kernel does without memory, and wait for their successors.
    """
    old = workers(service)
    for worker in old:
        os.kill(worker, signal.SIGKILL)
    eventually(lambda: bool(workers(service)) and not set(workers(service)) & set(old))
