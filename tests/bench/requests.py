"""
Small requests compared with the sketch (`bench/sketch`), both on the same PostgreSQL, Valkey and S3, two workers each.

It takes turns: each round sends every request to both for some seconds. Context switches and connections are read from
`/proc`; wrk and a compiler's runtime are needed from the system (`apt install wrk`).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import statistics
import subprocess
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from bench.load import Usage
from bench.measure import Findings, Goal, Measure, Options, Spread
from bench.wrk import Answered, Load, send
from support.clients.wire import call, connected, form, head, receive
from support.servers.backends import S3, own_postgres, own_s3, own_valkey
from support.servers.processes import free_port, process_tree, running
from support.servers.service import Service, serving

SKETCH = Path(__file__).parent / "sketch"
SIZE = 10 << 10
LISTED = 20
SECONDS = 4.0
BUCKETS = ("sft-requests", "sketch-requests")
NOTE = "wrk -t1 -c16, two workers each, both on one PostgreSQL, Valkey and S3 on the same machine, in turns"
EMBEDDED_NOTE = "wrk -t1 -c16, the embedded default with one worker"


@attrs.frozen
class Side:
    """
    A measured service with an account, its files and a link.
    """

    service: Service
    token: str
    file: str
    link: str

    def usage(self) -> tuple[Usage, int]:
        """
        Return the usage of the service's processes and their voluntary context switches.
        """
        return Usage.now(self.service), switches(self.service.process.pid)


def environment_of_the_sketch() -> Path:
    """
    Create an environment with the sketch's packages, once; return its interpreter.
    """
    wanted = SKETCH / "requirements.txt"
    folder = Path(tempfile.gettempdir()) / f"sft-bench-sketch-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]}"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "-r", str(wanted)]
        subprocess.run(command, check=True, capture_output=True)
        (folder / "installed").touch()
    return python


@contextmanager
def sketch(folder: Path, database: str, redis: str, s3: S3) -> Iterator[Service]:
    """
    Run the sketch with two workers.
    """
    python, port = str(environment_of_the_sketch()), free_port()
    settings = {
        "DATABASE_URL": database.replace("postgresql://", "postgresql+psycopg2://"),
        "REDIS_URL": redis,
        "MINIO_ENDPOINT": s3.endpoint,
        "MINIO_ACCESS_KEY": s3.access_key,
        "MINIO_SECRET_KEY": s3.secret_key,
        "MINIO_REGION": s3.region,
        "MINIO_BUCKET_NAME": BUCKETS[1],
        "SECRET_KEY": secrets.token_hex(32),
        "MASTER_KEY": secrets.token_hex(32),
        "PYTHONPATH": str(SKETCH),
    }
    environment = {**os.environ, **settings}
    folder.mkdir()
    subprocess.run([python, "-c", "import app; app.prepare()"], env=environment, check=True)
    command = [python, "-m", "uvicorn", "app:app", "--workers", "2", "--port", str(port), "--log-level", "warning"]
    with running(command, port, folder / "log", environment=environment) as process:
        yield Service(port=port, process=process, data=folder, log=folder / "log")


def switches(pid: int) -> int:
    """
    Return the voluntary context switches of a process tree's threads.
    """
    total = 0
    for member in process_tree(pid):
        for status in Path(f"/proc/{member}/task").glob("*/status"):
            lines = status.read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return total


def connections(service: Service) -> list[int]:
    """
    Return how many connections of clients each process of a service has, without processes that have none.
    """
    fields = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    port = f":{service.port:04X}"
    open_ = {f"socket:[{line[9]}]" for line in fields if line[1].endswith(port) and line[3] == "01"}
    counts = []
    for member in process_tree(service.process.pid):
        links = (str(link.readlink()) for link in Path(f"/proc/{member}/fd").iterdir())
        counts.append(sum(link in open_ for link in links))
    return [count for count in counts if count]


def prepared(service: Service) -> Side:
    """
    Register an account, upload its files, and share one.
    """
    token = service.sign_up("bench")
    files = [uploaded(service, token) for _ in range(LISTED)]
    shared = call(service.port, "POST", f"{service.api}/files/{files[0]}/share", token=token, body={})
    return Side(service, token, files[0], str(shared.json()["share_token"]))


def uploaded(service: Service, token: str) -> str:
    load = form_of(service, token)
    with connected(service.port) as connection:
        connection.sendall(head(load.method, load.path, dict(load.headers), len(load.body)) + load.body)
        response = receive(connection)
    if response.status != 201:
        raise RuntimeError(f"an upload returned {response.status}: {response.body[:200]!r}")
    return str(json.loads(response.body)["id"])


def form_of(service: Service, token: str) -> Load:
    headers, body = form(token, os.urandom(SIZE), "small.bin")
    return Load("POST", f"{service.api}/files/upload", headers, body)


def loads(side: Side) -> dict[str, Load]:
    """
    Return the requests that both services answer.
    """
    api, headers = side.service.api, {"Authorization": f"Bearer {side.token}"}
    return {
        "GET /auth/me": Load("GET", f"{api}/auth/me", headers),
        "GET /files/{id}": Load("GET", f"{api}/files/{side.file}", headers),
        f"GET /files/?limit={LISTED}": Load("GET", f"{api}/files/?limit={LISTED}", headers),
        "GET /files/{id}/download, 10 KiB": Load("GET", f"{api}/files/{side.file}/download", headers),
        "GET /files/shared/{token}, 10 KiB": Load("GET", f"{api}/files/shared/{side.link}", {}),
        "POST /files/upload, 10 KiB form": form_of(side.service, side.token),
    }


def put_of(side: Side) -> Load:
    headers = {"Authorization": f"Bearer {side.token}", "Content-Type": "application/octet-stream"}
    return Load("PUT", f"{side.service.api}/files/small.bin", headers, os.urandom(SIZE))


GOALS: Mapping[str, float] = {
    "GET /auth/me": 3.5,
    "GET /files/{id}": 4,
    f"GET /files/?limit={LISTED}": 2.5,
    "GET /files/{id}/download, 10 KiB": 2.3,
    "GET /files/shared/{token}, 10 KiB": 0.67,
    "POST /files/upload, 10 KiB form": 1.6,
}


@attrs.frozen
class Cost:
    """
    What one request costs a service: processor time in microseconds and voluntary context switches.
    """

    microseconds: float
    switches: float


def costed(side: Side, load: Load, folder: Path) -> tuple[Answered, Cost]:
    before, switched = side.usage()
    found = send(load, side.service.port, folder, seconds=SECONDS)
    after, switched_after = side.usage()
    used = after.since(before)
    return found, Cost(
        (used.user + used.system) / found.count * 1e6,
        (switched_after - switched) / found.count,
    )


def in_turns(rounds: int, sides: tuple[Side, Side], name: str, folder: Path) -> list[list[tuple[Answered, Cost]]]:
    """
    Return the results of each round for both sides.
    """
    pairs = []
    for number in range(rounds):
        order = (0, 1) if number % 2 else (1, 0)
        found = {side: costed(sides[side], loads(sides[side])[name], folder) for side in order}
        pairs.append([found[0], found[1]])
    return pairs


def against_the_sketch(options: Options) -> Findings:
    """
    Measure both services in turns.
    """
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sft-bench-")))
        postgres, s3 = stack.enter_context(own_postgres()), stack.enter_context(own_s3())
        valkey = stack.enter_context(own_valkey())
        urls = [stack.enter_context(postgres.database()) for _ in range(2)]
        settings = {"DATABASE_URL": urls[0], "REDIS_URL": valkey.url, **s3.environ(BUCKETS[0])}
        ours = stack.enter_context(serving(root / "sft", settings=settings, workers=2))
        theirs = stack.enter_context(sketch(root / "sketch", urls[1], f"{valkey.url}/7", s3))
        sides = prepared(ours), prepared(theirs)
        rows, details = [], [COSTS]
        for name, goal in GOALS.items():
            in_turns(1, sides, name, root)
            pairs = in_turns(options.rounds, sides, name, root)
            rows.append(compared(name, pairs, goal))
            details.append(cost_row(name, pairs))
        put = [costed(sides[0], put_of(sides[0]), root)[0] for _ in range(options.rounds)]
        rows.append(rates("PUT /files/{name}, 10 KiB", put, NOTE))
        shares = [connections_during(loads(sides[0])["GET /files/{id}"], ours, root) for _ in range(options.rounds)]
    details += ["", f"connections of each worker, of 16: {', '.join(map(str, shares))}"]
    return Findings(rows, "\n".join(details))


def compared(name: str, pairs: list[list[tuple[Answered, Cost]]], goal: float) -> Measure:
    return Measure(
        name=f"{name} : sketch",
        unit="requests/s",
        ours=Spread.of(ours.rate for (ours, _), _ in pairs),
        reference=Spread.of(theirs.rate for _, (theirs, _) in pairs),
        ratio=Spread.of(ours.rate / theirs.rate for (ours, _), (theirs, _) in pairs),
        goal=Goal(goal),
        note=NOTE,
    )


def rates(name: str, found: list[Answered], note: str) -> Measure:
    return Measure(name=name, unit="requests/s", ours=Spread.of(one.rate for one in found), note=note)


def connections_during(load: Load, service: Service, folder: Path) -> list[int]:
    """
    Return how many connections each worker has while a load is sent.
    """
    thread = threading.Thread(target=send, args=(load, service.port, folder), kwargs={"seconds": 2})
    thread.start()
    time.sleep(1)
    counts = connections(service)
    thread.join()
    return counts


COSTS = f"{'a request':36} {'µs: ours':>9} {'sketch':>7} {'switches: ours':>15} {'sketch':>7} {'p99, ms: ours':>14}"


def cost_row(name: str, pairs: list[list[tuple[Answered, Cost]]]) -> str:
    def middle(value: Callable[[tuple[Answered, Cost]], float], side: int) -> float:
        return statistics.median(value(pair[side]) for pair in pairs)

    used, switched = [[middle(value, side) for side in (0, 1)] for value in (_microseconds, _switches)]
    p99 = middle(lambda one: one[0].p99, 0)
    return f"{name:36} {used[0]:9.0f} {used[1]:7.0f} {switched[0]:15.1f} {switched[1]:7.1f} {p99:14.1f}"


def _microseconds(one: tuple[Answered, Cost]) -> float:
    return one[1].microseconds


def _switches(one: tuple[Answered, Cost]) -> float:
    return one[1].switches


def embedded(options: Options) -> list[Measure]:
    """
    Measure the embedded default.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="sft-bench-") as folder, serving(Path(folder) / "sft") as service:
        side = prepared(service)
        for name, load in (
            ("GET /files/{id}", loads(side)["GET /files/{id}"]),
            ("PUT /files/{name}, 10 KiB", put_of(side)),
        ):
            send(load, service.port, Path(folder), seconds=1)
            found = [send(load, service.port, Path(folder), seconds=SECONDS) for _ in range(options.rounds)]
            slow = Spread.of(one.p99 / one.median for one in found)
            rows.append(rates(f"{name}, embedded", found, EMBEDDED_NOTE))
            rows.append(Measure(name=f"{name}, embedded: p99 : median", unit="", ours=slow, note=EMBEDDED_NOTE))
    return rows


def measures(options: Options) -> Findings:
    """
    Measure small requests beside the sketch, and on the embedded default.
    """
    found = against_the_sketch(options)
    return Findings([*found.measures, *embedded(options)], found.details)
