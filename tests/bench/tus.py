"""
A large file uploaded by tus-js-client, compared with @tus/server, which stores it unencrypted.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from bench.measure import MIB, Findings, Goal, Measure, Options, alternate
from bench.transfers import Client
from support.clients.npm import NODE, installed
from support.servers.processes import free_port, running
from support.servers.service import serving

PACKAGE = Path(__file__).parent / "tus-js"
CHUNK = 8 * MIB
NOTE = (
    "@tus/server with @tus/file-store in a Node process of its own stores plaintext and syncs nothing; ours is"
    " encrypted, and durable with each answer; both get the bytes from one tus-js-client process, one request at a time"
)


@attrs.frozen
class Uploader:
    """
    A Node process that uploads by tus-js-client.
    """

    process: subprocess.Popen[str]

    def __call__(self, endpoint: str, size: int, token: str = "") -> tuple[float, str]:
        """
        Upload this many bytes in requests of 8 MiB; return the seconds and the last segment of the upload's URL.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        options = {"endpoint": endpoint, "token": token, "size": size, "chunkSize": CHUNK}
        print(json.dumps(options), file=self.process.stdin, flush=True)
        result = json.loads(self.process.stdout.readline() or "{}")
        if not result:
            raise RuntimeError("the client failed")
        return float(result["seconds"]), str(result["url"]).rpartition("/")[2]


@contextmanager
def uploading(package: Path) -> Iterator[Uploader]:
    command = [str(NODE), str(package / "client.js")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Uploader(process)
        finally:
            process.kill()


def measures(options: Options) -> Findings:
    """
    Measure uploads in requests of 8 MiB.
    """
    package = installed(PACKAGE, Path(tempfile.gettempdir()) / "sft-bench-tus-js")
    with (
        tempfile.TemporaryDirectory(prefix="sft-bench-") as folder,
        uploading(package) as upload,
        serving(Path(folder) / "sft") as service,
    ):
        client = Client(service, service.sign_up("bench"))
        files, port = Path(folder) / "reference", free_port()
        files.mkdir()
        command = [str(NODE), str(package / "server.js"), str(port), str(files)]
        with running(command, port, Path(folder) / "reference.log"):

            def ours(size: int = options.size) -> float:
                seconds, file = upload(f"{service.url}{service.api}/tus", size, client.token)
                client.delete(file)
                return seconds

            def reference(size: int = options.size) -> float:
                seconds, _ = upload(f"http://127.0.0.1:{port}/files", size)
                for stored in files.iterdir():
                    stored.unlink()
                return seconds

            ours(options.warm_up)
            reference(options.warm_up)
            rounds = alternate(options.rounds, ours, reference)
    name = "tus-js-client, 8 MiB chunks, encrypted : @tus/server, plaintext"
    return Findings([Measure.of_seconds(name, "MiB/s", options.size / MIB, rounds, goal=Goal(1.5), note=NOTE)])
