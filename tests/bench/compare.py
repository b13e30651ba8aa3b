"""
Compare this tree with another one, for example the last release: requests, transfers and memory.

`python -m bench.compare FOLDER` takes the folder of a second checkout (`git worktree add`). Both services run at the
same time and get the same work in short turns, so that a disturbance of the machine affects both. A ratio above 1 means
that this tree needs more. Processor time is that of the service's processes, and varies less than the wall-clock time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import attrs

from bench.load import Usage, get, run_requests
from bench.measure import MIB
from bench.memory import SETTLE_SECONDS, peak, proportional
from bench.small import SIZE, put
from bench.transfers import Client
from support.clients.wire import form, upload
from support.servers.backends import own_postgres, own_s3, own_valkey
from support.servers.service import serving

HERE = Path(__file__).parents[2]
LISTED = 20
CONNECTIONS = 16
TUS_CHUNK = 8 * MIB
TRANSFERS = 4
"""Number of concurrent transfers whose memory is measured."""

Work = Callable[[Client], object]


@attrs.frozen
class Turns:
    """
    Wall-clock and processor seconds of one kind of work, a pair for each turn.
    """

    name: str
    wall: list[tuple[float, float]] = attrs.field(factory=list)
    processor: list[tuple[float, float]] = attrs.field(factory=list)

    def __str__(self) -> str:
        ratios = sorted(ours / theirs for ours, theirs in self.wall)
        used = [sum(turn) for turn in zip(*self.processor, strict=True)]
        quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
        middle, low, high = statistics.median(ratios), quartiles[0], quartiles[2]
        return f"{self.name:44} {middle:6.3f} ({low:5.3f} – {high:5.3f}) {used[0] / used[1]:10.3f}"


def measured(work: Work, client: Client) -> tuple[float, float]:
    before = Usage.now(client.service)
    work(client)
    used = Usage.now(client.service).since(before)
    return used.wall, used.user + used.system


def compare(name: str, work: Work, sides: Sequence[Client], turns: int) -> None:
    """
    Give both services the same work in turns and print the ratios; the first turn of each is not counted.
    """
    found = Turns(name)
    for client in sides:
        work(client)
    for turn in range(turns):
        order = sides if turn % 2 else sides[::-1]
        results = {id(client): measured(work, client) for client in order}
        walls, used = zip(*(results[id(client)] for client in sides), strict=True)
        found.wall.append(walls)
        found.processor.append(used)
    print(found, flush=True)


@contextmanager
def both(other: Path, settings: Sequence[dict[str, str]], workers: int) -> Iterator[list[Client]]:
    """
    Run this tree and the other one, each with its settings, and return a client of each.
    """
    with tempfile.TemporaryDirectory(prefix="sft-compare-") as folder, ExitStack() as stack:
        clients = []
        for name, tree, own in zip(("this", "other"), (HERE, other), settings, strict=True):
            started = serving(Path(folder) / name, workers=workers, settings=own | {"PYTHONPATH": str(tree / "src")})
            service = stack.enter_context(started)
            clients.append(Client(service, service.sign_up("bench")))
        yield clients


def by_tus(client: Client, size: int) -> None:
    """
    Upload by tus in requests of 8 MiB, and delete the file.
    """
    path, headers = f"{client.service.api}/tus", {"Authorization": f"Bearer {client.token}", "Tus-Resumable": "1.0.0"}
    created = upload(
        client.service.port,
        "POST",
        path,
        size=0,
        headers=headers | {"Upload-Length": str(size), "Upload-Metadata": "filename YQ=="},
    )
    place = created.headers["location"]
    headers["Content-Type"] = "application/offset+octet-stream"
    for offset in range(0, size, TUS_CHUNK):
        chunk = min(TUS_CHUNK, size - offset)
        answer = upload(
            client.service.port, "PATCH", place, size=chunk, headers=headers | {"Upload-Offset": str(offset)}
        )
        if answer.status != 204:
            raise RuntimeError(f"a chunk was answered {answer.status}: {answer.body[:200]!r}")
    client.delete(place.rpartition("/")[2])


def repeated(store: Callable[[int], str], size: int) -> str:
    """
    Upload a file, a second time if the first fails: rclone refuses one of two objects that begin a folder at once.
    """
    try:
        return store(size)
    except RuntimeError:
        return store(size)


def small_work(sides: Sequence[Client], count: int) -> dict[str, Work]:
    """
    Return the kinds of small requests; each is sent `count` times over 16 connections.
    """
    files = {id(client): [client.put(SIZE) for _ in range(LISTED)] for client in sides}

    def requests(request_of: Callable[[Client], bytes], *statuses: int) -> Work:
        def work(client: Client) -> None:
            request = request_of(client)
            run_requests(client.service, lambda _: request, *statuses or (200,), count=count, connections=CONNECTIONS)

        return work

    def posted(client: Client) -> bytes:
        headers, body = form(client.token, bytes(SIZE))
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = [f"POST {client.service.api}/files/upload HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *lines]
        return "\r\n".join([*head, "", ""]).encode() + body

    def got(path: str) -> Callable[[Client], bytes]:
        return lambda client: get(client.service, path.format(id=files[id(client)][0]), client.token)

    return {
        "GET /auth/me": requests(got("/auth/me")),
        "GET /files/{id}": requests(got("/files/{id}")),
        f"GET /files/, {LISTED} files": requests(got(f"/files/?limit={LISTED}")),
        "GET /files/{id}/download, 10 KiB": requests(got("/files/{id}/download")),
        # rclone refuses one of two objects that begin a folder at once: some in a thousand are answered 503.
        "PUT, 10 KiB": requests(lambda client: put(client.service, client.token), 201, 503),
        "form, 10 KiB": requests(posted, 201, 503),
    }


def large_work(sides: Sequence[Client], size: int) -> dict[str, Work]:
    """
    Return the kinds of large transfers of one size.
    """
    files = {id(client): repeated(client.put, size) for client in sides}

    def raw(client: Client) -> None:
        client.delete(repeated(client.put, size))

    def posted(client: Client) -> None:
        client.delete(repeated(client.post, size))

    return {
        "PUT": raw,
        "form": posted,
        "tus, requests of 8 MiB": partial(by_tus, size=size),
        "download": lambda client: client.get(files[id(client)]),
    }


def compare_memory(sides: Sequence[Client], size: int) -> None:
    """
    Print the memory of one of several concurrent transfers, for both services.
    """
    ours: dict[str, list[float]] = {}
    for client in sides:
        pid = client.service.process.pid
        client.get(client.put(16 * MIB))
        client.post(16 * MIB)
        time.sleep(SETTLE_SECONDS)
        rest = proportional(pid)
        up, files = peak(pid, [partial(client.put, size)] * TRANSFERS)
        down, _ = peak(pid, [partial(client.get, file) for file in files])
        formed, more = peak(pid, [partial(client.post, size)] * TRANSFERS)
        for file in files + more:
            client.delete(file)
        ours.setdefault("at rest", []).append(rest / MIB)
        for what, taken in (("an upload", up), ("a download", down), ("a form", formed)):
            ours.setdefault(what, []).append((taken - rest) / MIB / TRANSFERS)
    for what, (this, other) in ours.items():
        print(f"memory: {what}, MiB{'':24} {this:6.1f} : {other:5.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.compare", description=__doc__)
    parser.add_argument("other", type=Path, help="folder of the other checkout")
    parser.add_argument("--stacks", nargs="+", choices=("embedded", "servers"), default=["embedded", "servers"])
    parser.add_argument(
        "--kinds", nargs="+", choices=("small", "large", "memory"), default=["small", "large", "memory"]
    )
    parser.add_argument("--only", default="", help="a part of the names of the rows to measure")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--count", type=int, default=400, help="small requests in a turn")
    parser.add_argument("--size-mib", type=int, default=256, help="size of a large file")
    arguments = parser.parse_args()
    print(f"{'this tree : the other':44} {'wall, median (quartiles)':>24} {'processor':>10}")
    for name in arguments.stacks:
        with ExitStack() as stack:
            settings: list[dict[str, str]] = [{}, {}]
            if name == "servers":
                postgres, s3 = stack.enter_context(own_postgres()), stack.enter_context(own_s3())
                for number, own in enumerate(settings):
                    own["DATABASE_URL"] = stack.enter_context(postgres.database())
                    own["REDIS_URL"] = stack.enter_context(own_valkey()).url
                    own.update(s3.environ(f"sft-compare-{number}"))
            sides = stack.enter_context(both(arguments.other.resolve(), settings, 2 if name == "servers" else 1))
            rows: dict[str, Work] = {}
            if "small" in arguments.kinds:
                rows |= small_work(sides, arguments.count)
            if "large" in arguments.kinds:
                large = large_work(sides, arguments.size_mib * MIB)
                rows |= {f"{what}, {arguments.size_mib} MiB": work for what, work in large.items()}
            for what, work in rows.items():
                if arguments.only in what:
                    compare(f"{name}: {what}", work, sides, arguments.turns)
            if "memory" in arguments.kinds and name == "embedded":
                compare_memory(sides, arguments.size_mib * MIB)


if __name__ == "__main__":
    main()
