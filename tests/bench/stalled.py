"""
Measure `/health` while downloads stall: `PYTHONPATH=tests python -m bench.stalled`.

Many clients ask for a large file and read nothing more than the head of the answer. Printed is
how long `/health` takes without them and beside them, in one run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.memory import MIB, resident
from support.service import Service, serving
from support.wire import call, connected, multipart, receive_head, send, upload


def latencies(service: Service, count: int) -> list[float]:
    """
    Seconds of `count` requests to /health, one after another.
    """
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        if call(service.port, "GET", "/health").status != 200:
            raise RuntimeError("the service is not healthy")
        seconds.append(time.perf_counter() - start)
    return seconds


def report(label: str, seconds: list[float], memory: int) -> None:
    p99 = statistics.quantiles(seconds, n=100)[98]
    print(f"{label:28} {statistics.median(seconds) * 1e3:10.2f} {p99 * 1e3:8.2f} {memory / MIB:12.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    arguments = parser.parse_args()
    headers, around = multipart("stalled.bin")
    with (
        tempfile.TemporaryDirectory(prefix="sft-bench-") as folder,
        serving(Path(folder)) as service,
        ExitStack() as held,
    ):
        token = service.sign_up("stalled")
        headers["Authorization"] = f"Bearer {token}"
        stored = upload(
            service.port, "POST", f"{service.api}/files/upload", size=64 * MIB, headers=headers, around=around
        )
        path = f"{service.api}/files/{stored.json()['id']}/download"
        print(f"{'/health':28} {'median, ms':>10} {'p99, ms':>8} {'memory, MiB':>12}")
        report("alone", latencies(service, 500), resident(service.process.pid))
        for _ in range(arguments.clients):
            connection = held.enter_context(connected(service.port))
            send(connection, "GET", path, {"Authorization": f"Bearer {token}"}, 0)
            if receive_head(connection)[0] != 200:
                raise RuntimeError("a download was refused")
        report(f"beside {arguments.clients} stalled", latencies(service, 500), resident(service.process.pid))


if __name__ == "__main__":
    main()
