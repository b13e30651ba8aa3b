"""
Large files compared with nginx as a plaintext file server (DAV PUT and GET, without encryption and accounts).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from bench.measure import MIB, Findings, Goal, Measure, Options, alternate, timed
from bench.nginx import nginx
from support.clients.wire import Response, download, multipart, upload
from support.servers.service import Service, serving

NOTE = "nginx stores and sends plaintext and syncs nothing; ours is encrypted, and durable when it is answered"


@attrs.frozen
class Client:
    """
    A client on plain sockets that uploads to the service and downloads from it.
    """

    service: Service
    token: str

    def put(self, size: int) -> str:
        """
        Upload as the body of a PUT, and return the file's id.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/octet-stream"}
        path = f"{self.service.api}/files/bench.bin"
        return stored(upload(self.service.port, "PUT", path, size=size, headers=headers))

    def post(self, size: int) -> str:
        """
        Upload as a multipart form, and return the file's id.
        """
        headers, around = multipart("bench.bin")
        headers["Authorization"] = f"Bearer {self.token}"
        path = f"{self.service.api}/files/upload"
        return stored(upload(self.service.port, "POST", path, size=size, headers=headers, around=around))

    def get(self, file: str) -> int:
        """
        Download a file, and return the number of received bytes.
        """
        return download(self.service.port, f"{self.service.api}/files/{file}/download", token=self.token)

    def delete(self, file: str) -> None:
        response = self.service.call("DELETE", f"/files/{file}", token=self.token)
        if response.status != 204:
            raise RuntimeError(f"a deletion returned {response.status}")


def stored(response: Response) -> str:
    if response.status != 201:
        raise RuntimeError(f"an upload returned {response.status}: {response.body[:200]!r}")
    return str(response.json()["id"])


@contextmanager
def both(folder: Path) -> Iterator[tuple[Client, int]]:
    """
    Run the embedded default and nginx; return a client of the service and the port of nginx.
    """
    with nginx(folder / "nginx") as reference, serving(folder / "sft") as service:
        yield Client(service, service.sign_up("bench")), reference


def put_plain(port: int, size: int) -> None:
    response = upload(port, "PUT", "/reference.bin", size=size, headers={})
    if response.status not in {201, 204}:
        raise RuntimeError(f"nginx returned {response.status}")


def measures(options: Options) -> Findings:
    """
    Measure raw PUT, multipart upload and download.
    """
    size, rounds = options.size, options.rounds
    with tempfile.TemporaryDirectory(prefix="sft-bench-") as folder, both(Path(folder)) as (client, reference):
        put_plain(reference, options.warm_up)
        for store in (client.put, client.post):
            warm = store(options.warm_up)
            client.get(warm)
            client.delete(warm)

        def stores(store: Callable[[int], str]) -> float:
            kept: list[str] = []
            seconds = timed(lambda: kept.append(store(size)))
            client.delete(kept[0])
            return seconds

        def plain() -> float:
            return timed(lambda: put_plain(reference, size))

        raw = alternate(rounds, lambda: stores(client.put), plain)
        forms = alternate(rounds, lambda: stores(client.post), plain)
        file = client.put(size)
        down = alternate(
            rounds,
            lambda: timed(lambda: client.get(file)),
            lambda: timed(lambda: download(reference, "/reference.bin")),
        )
    found = {
        "raw PUT, encrypted": (raw, Goal(0.6)),
        "multipart, encrypted": (forms, Goal(0.5)),
        "download, decrypted": (down, Goal(0.65)),
    }
    return Findings(
        [
            Measure.of_seconds(f"{name} : nginx, plaintext", "MiB/s", size / MIB, pairs, goal=goal, note=NOTE)
            for name, (pairs, goal) in found.items()
        ]
    )
